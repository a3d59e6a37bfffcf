//! Looking up in whatever passes.

use crate::rules::wide;
use acl::{BackEnd, Classifier, Image, KeyV4, KeyV6, Linear, Overlay, Rule, Verdict};
use model::TcpFlags;
use std::cell::Cell;

/// Keys of both families.
pub struct Keys {
    v4: Vec<KeyV4>,
    v6: Vec<KeyV6>,
}

/// What is found for them.
type Found = [Vec<Verdict>; 2];

impl Keys {
    /// The same of IPv6.
    pub fn new(v4: Vec<KeyV4>) -> Keys {
        let wide = |key: &KeyV4| KeyV6 {
            source: wide(key.source),
            destination: wide(key.destination),
            source_port: key.source_port,
            destination_port: key.destination_port,
            protocol: key.protocol,
            has_ports: key.has_ports,
            tcp_flags: key.tcp_flags,
            traffic_class: key.traffic_class,
        };
        Keys { v6: v4.iter().map(wide).collect(), v4 }
    }

    fn none(&self) -> Found {
        [vec![Verdict::NONE; self.v4.len()], vec![Verdict::NONE; self.v6.len()]]
    }

    fn scan(&self, rules: &[Rule]) -> Found {
        let mut found = self.none();
        Linear::new(rules).lookup_v4(&self.v4, &mut found[0]);
        Linear::new(rules).lookup_v6(&self.v6, &mut found[1]);
        found
    }

    /// In an image, and in what a change makes of it if it is one.
    fn look_up<B: AsRef<[u8]>, D: AsRef<[u8]>>(
        &self,
        base: &Classifier<B>,
        change: Option<&Overlay<D>>,
    ) -> (Found, Option<Found>) {
        let mut found = self.none();
        base.lookup_v4(&self.v4, &mut found[0]);
        base.lookup_v6(&self.v6, &mut found[1]);
        let changed = change.and_then(|change| change.over(base)).map(|list| {
            let mut found = self.none();
            list.lookup_v4(&self.v4, &mut found[0]);
            list.lookup_v6(&self.v6, &mut found[1]);
            found
        });
        (found, changed)
    }
}

/// Keys whose words are of these bytes, from all over.
pub fn keys_in(bytes: &[u8]) -> impl Iterator<Item = KeyV4> {
    const MOST: usize = 48;
    let words = bytes.as_chunks().0;
    let words = words.iter().step_by(words.len() / MOST + 1).map(|word| u32::from_le_bytes(*word));
    let words: Vec<u32> = words.chain([0, 0x0A00_0001, u32::MAX]).collect();
    (0..words.len()).map(move |place| {
        let [source, destination] = [words[place], words[words.len() - 1 - place]];
        KeyV4 {
            source,
            destination,
            source_port: source as u16,
            destination_port: destination as u16,
            protocol: [6, 17, destination as u8][source as usize % 3],
            has_ports: source % 5 > 0,
            tcp_flags: if source % 2 > 0 { TcpFlags::seen(source as u8) } else { TcpFlags::UNSEEN },
            traffic_class: destination as u8,
        }
    })
}

/// An image and a change that may be anything: what passes has one meaning for all back ends.
pub fn together(image: Box<[u8]>, change: Box<[u8]>, keys: &Keys) {
    let overlay = Overlay::verify(&change).ok();
    if let Some(overlay) = &overlay {
        // A list that may be as long as a header says is written out only where that is little.
        if overlay.base() < 1 << 16 {
            assert!(overlay.order().len() as u64 >= u64::from(overlay.added()));
        }
        let _ = (overlay.numbers(), overlay.trees(), overlay.leaves());
    }
    let Ok(base) = Classifier::verify(&image) else { return };
    assert!(base.trees().iter().all(|tree| tree.depth < 64));
    let by = |back_end: BackEnd| {
        let base = Classifier::verify(&image).expect("as before").with(back_end);
        let overlay = overlay.as_ref().map(|_| Overlay::verify(&change).expect("as before").with(back_end));
        keys.look_up(&base, overlay.as_ref())
    };
    let slow = keys.look_up(&base, overlay.as_ref());
    BackEnd::all().into_iter().for_each(|back_end| assert_eq!(by(back_end), slow, "{back_end}"));
}

/// What was compiled, against the scan of the list and of the changed list, whose rules have these numbers.
pub fn agree(image: &Image, rules: &[Rule], change: &Image, (list, order): (&[Rule], &[u32]), keys: &Keys) {
    let (slow, slow_changed) = (keys.scan(rules), keys.scan(list));
    let numbered = |verdict: &Verdict| (verdict.rule().map(|place| order[place as usize]), verdict.action());
    let told = |verdict: &Verdict| (verdict.rule(), verdict.action());
    for back_end in BackEnd::all() {
        let base = Classifier::verify(image.as_bytes()).expect("it was compiled").with(back_end);
        let overlay = Overlay::verify(change.as_bytes()).expect("it was compiled").with(back_end);
        assert_eq!(overlay.order(), order);
        let (fast, changed) = keys.look_up(&base, Some(&overlay));
        assert_eq!(fast, slow, "{back_end}");
        let changed = changed.expect("it is of this base");
        let alike = |(fast, slow): (&Vec<Verdict>, &Vec<Verdict>)| {
            fast.iter().map(told).eq(slow.iter().map(numbered))
        };
        assert!(
            changed.iter().zip(&slow_changed).all(alike),
            "{back_end}: {changed:?} {slow_changed:?} {order:?}"
        );
    }
}

/// Bytes that turn into others after they were verified: what is found is anything, but nothing is read out of bounds.
pub fn turned(image: &[u8], bad_image: &[u8], change: &[u8], bad_change: &[u8], keys: &Keys) {
    for back_end in BackEnd::all() {
        let base =
            Classifier::verify(Turncoat::new(image, bad_image)).expect("it was compiled").with(back_end);
        let overlay =
            Overlay::verify(Turncoat::new(change, bad_change)).expect("it was compiled").with(back_end);
        base.image().turned.set(true);
        keys.look_up(&base, Some(&overlay));
        overlay.image().turned.set(true);
        keys.look_up(&base, Some(&overlay));
    }
}

/// Holds one image first, and other bytes later.
struct Turncoat<'a> {
    good: &'a [u8],
    bad: &'a [u8],
    turned: Cell<bool>,
}

impl<'a> Turncoat<'a> {
    fn new(good: &'a [u8], bad: &'a [u8]) -> Turncoat<'a> {
        Turncoat { good, bad, turned: Cell::new(false) }
    }
}

impl AsRef<[u8]> for Turncoat<'_> {
    fn as_ref(&self) -> &[u8] {
        if self.turned.get() { self.bad } else { self.good }
    }
}
