//! scapy as an oracle: it reads what we write, and we read what it writes, byte for byte.
#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

mod common;

use common::{Sa, hex, inner, unhex};
use esp::replay::{Replay, Window, words_for};
use model::IcvLen;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;

/// Pythons that may have scapy: the system's, and the one that `scripts/setup test` makes in the target directory.
fn pythons() -> Vec<PathBuf> {
    let mut pythons = vec![PathBuf::from("python3"), PathBuf::from("/usr/bin/python3")];
    // This test runs as TARGET/PROFILE/deps/NAME.
    let target = std::env::current_exe().ok().and_then(|test| test.ancestors().nth(3).map(PathBuf::from));
    pythons.extend(target.map(|target| target.join("python/bin/python3")));
    pythons
}

/// Has scapy do all jobs; see `oracle.py`.
fn scapy(jobs: &[Value]) -> Vec<Value> {
    let mut unfit = Vec::new();
    for python in pythons() {
        let child = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            unfit.push(format!("{}: not there", python.display()));
            continue;
        };
        // It reads all before it writes, so this cannot lock up; if it ends early, its exit status says why.
        let _ = child.stdin.take().unwrap().write_all(&serde_json::to_vec(jobs).unwrap());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => return serde_json::from_slice(&output.stdout).unwrap(),
            Some(3) => unfit.push(said.trim().to_owned()),
            _ => panic!("the oracle failed: {said}"),
        }
    }
    panic!("no Python here has scapy, which this test needs; run scripts/setup test ({})", unfit.join("; "));
}

/// SAs of both key sizes, with and without ESN.
fn sas() -> Vec<Sa> {
    [(16, false), (16, true), (32, false), (32, true)]
        .into_iter()
        .map(|(key_len, esn)| Sa {
            spi: 0x1000 + key_len + u32::from(esn),
            key: (0..key_len).map(|byte| (byte * 7 + 1) as u8).collect(),
            salt: [0xCA, 0xFE, key_len as u8, u8::from(esn)],
            icv: IcvLen::Bytes16,
            esn,
            ..Sa::default()
        })
        .collect()
}

fn described(sa: &Sa, sequence: u64, tos: u8) -> Value {
    json!({
        "spi": sa.spi,
        "key": hex(&sa.key_and_salt()),
        "local": "192.0.2.1",
        "remote": "198.51.100.2",
        "tos": tos,
        "esn": sa.esn.then_some(sequence >> 32),
    })
}

/// Lengths around every multiple of 4 and of 16, and long ones.
fn lengths(v6: bool) -> impl Iterator<Item = usize> {
    let least = if v6 { 40 } else { 20 };
    (least..least + 33).chain([576, 1279, 1280, 1420, 1500, 8999])
}

/// Packets of every length and family, with the sequence numbers that they are to have.
fn packets(sa: &Sa) -> Vec<(u64, Vec<u8>)> {
    let first = if sa.esn { (3 << 32) - 40 } else { 1 };
    let inners = [false, true].into_iter().flat_map(|v6| {
        lengths(v6).map(move |len| inner(v6, len, (len as u8 & 0x3F) << 2 | 0b10, len % 2 == 0, len as u32))
    });
    (first..).zip(inners).collect()
}

/// Packets that we write by these SAs, and how they are to be read.
fn read_back(sas: impl Iterator<Item = Sa>, how: &str) {
    let mut jobs = Vec::new();
    let mut expected = Vec::new();
    for sa in sas {
        for (sequence, inner) in packets(&sa) {
            let packet = sa.encapsulate(sequence, 0xFFFF_0000_0000_0000 + sequence, &inner);
            jobs.push(json!({"do": how, "sa": described(&sa, sequence, 0), "packet": hex(&packet)}));
            let padding: Vec<u8> = (1..).take((2_usize.wrapping_sub(inner.len())) % 4).collect();
            expected.push(json!({
                "inner": hex(&inner),
                "next_header": if inner[0] >> 4 == 4 { 4 } else { 41 },
                "padding": hex(&padding),
                "seq": sequence as u32,
            }));
        }
        // And it sees what is wrong, so that its silence above means something.
        let (sequence, inner) = packets(&sa).swap_remove(0);
        let mut tampered = sa.encapsulate(sequence, sequence, &inner);
        tampered[40] ^= 1;
        jobs.push(json!({"do": how, "sa": described(&sa, sequence, 0), "packet": hex(&tampered)}));
        expected.push(json!({"error": "integrity"}));
    }
    let results = scapy(&jobs);
    assert_eq!(results.len(), expected.len());
    for (place, (result, expected)) in results.iter().zip(&expected).enumerate() {
        assert_eq!(result, expected, "job {place}");
    }
}

#[test]
fn scapy_reads_what_we_write() {
    read_back(sas().into_iter(), "open");
}

/// And the packets are shorter by an IV.
#[test]
fn an_iv_that_is_not_sent_is_the_sequence_number() {
    let implicit = || sas().into_iter().map(|sa| Sa { implicit_iv: true, ..sa });
    read_back(implicit(), "open-implicit");
    for (with, without) in sas().iter().zip(implicit()) {
        let (sequence, inner) = packets(with).swap_remove(7);
        let lengths = [with, &without].map(|sa| sa.encapsulate(sequence, 9, &inner).len());
        assert_eq!(lengths[0], lengths[1] + 8);
    }
}

#[test]
fn we_read_what_scapy_writes() {
    let mut jobs = Vec::new();
    for sa in sas() {
        for (sequence, inner) in packets(&sa) {
            jobs.push(json!({
                "do": "seal",
                "sa": described(&sa, sequence, 0b10),
                "seq": sequence as u32,
                "iv": hex(&(!sequence).to_be_bytes()),
                "inner": hex(&inner),
            }));
        }
    }
    let results = scapy(&jobs);
    assert_eq!(results.len(), jobs.len());
    let mut results = results.iter().map(|result| unhex(result["packet"].as_str().unwrap()));
    for sa in sas() {
        let highest = AtomicU64::new(0);
        let words: Vec<_> = (0..words_for(sa.window)).map(|_| AtomicU64::new(0)).collect();
        let window = Window::new(&highest, &words, sa.window).unwrap();
        window.reset(if sa.esn { (3 << 32) - 41 } else { 0 });
        for ((sequence, inner), packet) in packets(&sa).into_iter().zip(&mut results) {
            let (found, back) = sa.decapsulate(window.highest(), &packet).unwrap();
            assert_eq!(found, sequence);
            assert_eq!(back, inner, "{} bytes in SA {:#x}", inner.len(), sa.spi);
            assert_eq!((window.check(found), window.commit(found)), (Ok(()), Ok(())));
            // Replayed.
            let (again, _) = sa.decapsulate(window.highest(), &packet).unwrap();
            assert_eq!((again, window.check(again)), (sequence, Err(Replay::Seen)));
            // Tampered with: SPI, sequence number, IV, text, ICV.
            for place in [20, 27, 28, 36, packet.len() - 17, packet.len() - 1] {
                let mut tampered = packet.clone();
                tampered[place] ^= 0x10;
                assert_eq!(
                    sa.decapsulate(window.highest(), &tampered),
                    Err("BadIcv".to_owned()),
                    "byte {place}"
                );
            }
            // We would have written the same, but for the outer header.
            let ours = sa.encapsulate(sequence, !sequence, &inner);
            assert_eq!(hex(&ours[20..]), hex(&packet[20..]));
        }
    }
}
