//! Rules and packets as `dpdk-test-acl` reads them: a line each, fields between blanks (its `--rulesf` and `--tracef`).

use acl::{KeyV4, Rule};
use model::{Prefix, Protocol};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes rules, first the strongest.
///
/// # Errors
///
/// The system's.
pub fn write_rules(path: &Path, rules: &[Rule]) -> io::Result<()> {
    write_lines(path, rules, |file, rule| {
        let selector = &rule.selector;
        let (from, to) = (selector.source_port(), selector.destination_port());
        let (protocol, mask) = match selector.protocol() {
            Protocol::Any => (0, 0),
            Protocol::Number(number) => (number, u8::MAX),
        };
        let network = |prefix: Prefix| format!("{}/{}", prefix.addr(), prefix.prefix_len());
        writeln!(
            file,
            "@{} {} {} : {} {} : {} {protocol:#04x}/{mask:#04x}",
            network(selector.source()),
            network(selector.destination()),
            from.start(),
            from.end(),
            to.start(),
            to.end(),
        )
    })
}

/// Writes packets.
///
/// # Errors
///
/// The system's.
pub fn write_trace<'a>(path: &Path, keys: impl IntoIterator<Item = &'a KeyV4>) -> io::Result<()> {
    write_lines(path, keys, |file, key| {
        let KeyV4 { source, destination, source_port, destination_port, protocol, .. } = key;
        writeln!(file, "{source} {destination} {source_port} {destination_port} {protocol}")
    })
}

fn write_lines<T>(
    path: &Path,
    all: impl IntoIterator<Item = T>,
    line: impl Fn(&mut BufWriter<File>, T) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    all.into_iter().try_for_each(|each| line(&mut file, each))?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use acl::Action;
    use model::{PortRange, Selector};

    #[test]
    fn rules_and_packets_are_lines_of_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let prefixes = ("10.1.0.0/16".parse().unwrap(), "192.0.2.1/32".parse().unwrap());
        let web = Selector::new(
            prefixes.0,
            prefixes.1,
            Protocol::TCP,
            PortRange::ANY,
            PortRange::new(80, 88).unwrap(),
        );
        let any = Selector::between(prefixes.0, prefixes.1);
        let rules = [web, any].map(|selector| Rule::new(selector.unwrap(), Action::Bypass));
        let path = folder.path().join("rules");
        write_rules(&path, &rules).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "@10.1.0.0/16 192.0.2.1/32 0 : 65535 80 : 88 0x06/0xff\n\
             @10.1.0.0/16 192.0.2.1/32 0 : 65535 0 : 65535 0x00/0x00\n"
        );
        let key = KeyV4 {
            source: 0x0A01_0001,
            destination: 7,
            source_port: 1,
            destination_port: 2,
            protocol: 6,
            has_ports: true,
            ..KeyV4::default()
        };
        write_trace(&path, [&key]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "167837697 7 1 2 6\n");
    }
}
