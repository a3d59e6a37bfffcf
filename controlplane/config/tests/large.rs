//! Texts as large as a headend's, and some that nobody would write. What takes time that grows with the square of the text
//! would not end here.

#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

use config::{Config, Secrets, parse, policy, render};

const MANY: usize = 10_000;

fn many(line: impl Fn(usize) -> String) -> String {
    (0..MANY).map(line).collect()
}

fn headend() -> String {
    let entry = |i: usize| {
        let (number, peer, site) =
            (i + 1, format!("198.18.{}.{}", i / 250, i % 250 + 1), format!("10.{}.{}.0", i / 250, i % 250));
        let (spi, other) = (1000 + i, 1_000_000 + i);
        format!(
            "ip access-list extended SITE{i}\n permit ip any {site} 0.0.0.255\n\
             crypto map SITES {number} ipsec-manual\n set peer {peer}\n set transform-set GCM\n match address SITE{i}\n \
             set session-key inbound esp {spi} cipher {spi:040x}\n set session-key outbound esp {spi} cipher {other:040x}\n"
        )
    };
    "crypto ipsec transform-set GCM esp-gcm 128\ninterface wan\n device 0000:01:00.0\n \
     ip address 192.0.2.1 255.255.255.0\n crypto map SITES\n"
        .to_owned()
        + &many(entry)
}

#[test]
fn a_headend_is_read_flattened_and_written() {
    let text = headend();
    let good = |text: &str| -> Config {
        parse("headend.conf", text).unwrap_or_else(|errors| panic!("{}", render(&errors[..1], false))).0
    };
    let config = good(&text);
    assert_eq!(config.tunnels().len(), MANY);
    let map = config.crypto_maps().values().next().unwrap();
    assert_eq!(policy(&config, map).unwrap().len(), MANY);
    assert_eq!(good(&config.to_text(Secrets::Shown)), config);
}

/// What is not to be protected is denied first: a list as long as a carrier's, with a few permits at its end.
#[test]
fn a_long_list_of_exceptions_is_flattened() {
    let rules = 10 * MANY;
    let deny = |i: usize| format!(" deny ip host 10.{}.{}.{} any\n", i >> 16, i >> 8 & 255, i & 255);
    let text = "crypto ipsec transform-set GCM esp-gcm 128\ninterface wan\n device 0000:01:00.0\n \
                ip address 192.0.2.1 255.255.255.0\n crypto map SITES\nip access-list extended LONG\n"
        .to_owned()
        + &(0..rules).map(deny).collect::<String>()
        + " permit ip 10.0.0.0 0.255.255.255 any\n permit ip 172.16.0.0 0.0.255.255 any\n"
        + "crypto map SITES 10 ipsec-manual\n set peer 192.0.2.2\n set transform-set GCM\n match address LONG\n \
           set session-key inbound esp 0x1001 cipher 0000000000000000000000000000000000000001\n \
           set session-key outbound esp 0x1002 cipher 0000000000000000000000000000000000000002\n";
    let (config, _) =
        parse("long.conf", &text).unwrap_or_else(|errors| panic!("{}", render(&errors[..1], false)));
    let map = config.crypto_maps().values().next().unwrap();
    assert_eq!(policy(&config, map).unwrap().len(), rules + 2);
}

/// A text, and how many errors it has at least.
fn hostile() -> Vec<(&'static str, String, usize)> {
    let entry = "ipsec-manual\n set peer 192.0.2.1\n set transform-set";
    vec![
        ("a long word", "a".repeat(4 << 20), 1),
        ("a long line", "a ".repeat(1 << 20), 1),
        ("a line of secrets", "key ".repeat(1 << 18), 1),
        ("a line of keys", "0123456789abcdef0123456789abcdef ".repeat(1 << 16), 1),
        ("no commands", many(|i| format!("garbage{i}\n")), MANY),
        ("interfaces", many(|i| format!("interface a{i}\n crypto map B{i}\n")), 1),
        ("maps that are not whole", many(|i| format!("crypto map A{i} 1 ipsec-manual\n")), MANY),
        (
            "sets beside those that are named",
            many(|i| {
                format!("crypto ipsec transform-set A{i} esp-gcm 128\ncrypto map C{i} 1 {entry} B{i}\n")
            }),
            MANY,
        ),
        (
            "lists beside those that are named",
            many(|i| {
                format!(
                    "ip access-list extended A{i}\n permit ip any any\ncrypto map C 1{i} {entry} D\n match address B{i}\n"
                )
            }),
            MANY,
        ),
        (
            "lists of one entry",
            "crypto map A 1 ipsec-manual\n".to_owned() + &many(|i| format!(" match address B{i}\n")),
            MANY,
        ),
        ("routes to nowhere", many(|i| format!("ip route 10.0.0.0 255.0.0.0 nowhere{i}\n")), MANY),
        ("routes said before", many(|_| "ip route 10.0.0.0 255.0.0.0 Null0\n".to_owned()), MANY - 1),
        ("rules of one number", many(|_| "access-list 100 1 permit ip any any\n".to_owned()), MANY - 1),
        (
            "addresses",
            "interface a\n".to_owned() + &many(|_| " ip address 10.0.0.1 255.0.0.0 secondary\n".to_owned()),
            MANY - 64,
        ),
    ]
}

#[test]
fn whatever_is_large_is_answered() {
    for (what, text, least) in hostile() {
        let Err(errors) = parse("hostile.conf", &text) else { panic!("{what} passed") };
        assert!(errors.len() >= least, "{what}: {}", errors.len());
        assert!(!render(&errors, false).is_empty(), "{what}");
    }
}
