//! Writes the seeds anew: images and changes of the present format, and rules with damage.

use acl::{Delta, Limits, Rule, compile};
use acl_fuzz::rules::{BYTES, rule};
use acl_fuzz::{COMPILED, whole};
use std::fs;
use std::path::Path;

/// A generator of bytes that are always the same.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 56) as u8
    }

    /// Of a rule, with these bits of its kind.
    fn line(&mut self, kind: (u8, u8)) -> [u8; BYTES] {
        let mut line: [u8; BYTES] = std::array::from_fn(|_| self.next());
        line[0] = line[0] & !kind.1 | kind.0;
        // Long prefixes, else hardly any rule is told from another.
        line[2] = [32, 24, 8, line[2]][usize::from(self.next() % 4)];
        line[4] = [32, 24, 16, line[4]][usize::from(self.next() % 4)];
        line
    }
}

/// A name, how many rules the list has and how many come, and what bits of their kinds are given.
const SEEDS: [(&str, usize, usize, (u8, u8)); 8] = [
    ("nothing", 0, 0, (0, 0)),
    ("one", 1, 1, (0b10, 0b111)),
    ("addresses", 12, 4, (0b11_1000, 0b11_1111)),
    ("ports", 40, 6, (0b11_1110, 0b11_1011)),
    ("ipv6", 40, 6, (0b11_1001, 0b11_1001)),
    ("flags", 20, 4, (0b00_1100, 0b11_1111)),
    ("dscp", 20, 4, (0b00_0000, 0b11_1001)),
    ("all", 60, 20, (0, 0)),
];

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/verify");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder for the seeds");
    let write = |name: String, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("a seed is written");
    for (seed, (name, base, come, kind)) in (0..).zip(SEEDS) {
        let mut random = Bytes(seed);
        let lines: Vec<[u8; BYTES]> = (0..base + come).map(|_| random.line(kind)).collect();
        let (first, more) = lines.split_at(base);
        let rules: Vec<Rule> = first.iter().map(|line| rule(*line)).collect();
        let image = compile(&rules, Limits::default()).expect("few rules");
        let mut delta = Delta::new(rules.into(), image.clone().into());
        for (place, line) in (0..).zip(more) {
            let _ = delta.insert(Some(place * 2), rule(*line)).and_then(|_| delta.remove(place * 3));
        }
        let change = delta.compile(Limits::default()).expect("few rules");
        let bytes = whole(image.as_bytes(), change.as_bytes()).expect("a short image");
        write(format!("whole-{name}"), &bytes);
        let damage: Vec<u8> = (0..12).map(|_| random.next()).collect();
        let counts = [COMPILED, base as u8, come as u8];
        write(format!("damaged-{name}"), &[&counts[..], lines.as_flattened(), &damage].concat());
    }
}
