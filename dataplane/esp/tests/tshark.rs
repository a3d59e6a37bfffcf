//! tshark as an oracle: a capture of what we write, decrypted and checked by it. It knows no ESN, but ICVs of every length.
#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

mod common;

use common::{Sa, hex, inner};
use model::IcvLen;
use std::path::Path;
use std::process::Command;

/// One SA for each length of key and of ICV.
fn sas() -> Vec<Sa> {
    [16_u32, 24, 32]
        .into_iter()
        .flat_map(|key_len| [IcvLen::Bytes8, IcvLen::Bytes12, IcvLen::Bytes16].map(|icv| (key_len, icv)))
        .map(|(key_len, icv)| Sa {
            spi: 0xA000_0000 + key_len * 0x100 + icv.bytes() as u32,
            key: (0..key_len).map(|byte| (byte * 5 + 3) as u8).collect(),
            salt: [0xBE, 0xEF, key_len as u8, icv.bytes() as u8],
            icv,
            esn: false,
            ..Sa::default()
        })
        .collect()
}

/// A capture file of raw IP packets.
fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    const LINKTYPE_RAW: u32 = 101;
    let mut file = Vec::new();
    file.extend(0xA1B2_C3D4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    for word in [0, 0, 0xFFFF, LINKTYPE_RAW] {
        file.extend(word.to_le_bytes());
    }
    for (second, packet) in packets.iter().enumerate() {
        for word in [second as u32, 0, packet.len() as u32, packet.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

/// What tshark says of each packet: outer checksum (1 is good), SPI, sequence number, "1" for a good ICV, what was inside,
/// padding, next header.
fn tshark(capture: &Path, home: &Path, sas: &[Sa]) -> Vec<String> {
    let mut command = Command::new("tshark");
    // Without whatever the user has set up.
    command.env("WIRESHARK_CONFIG_DIR", home).arg("-n").arg("-r").arg(capture);
    for option in [
        "esp.enable_encryption_decode:TRUE",
        "esp.enable_authentication_check:TRUE",
        "ip.check_checksum:TRUE",
    ] {
        command.args(["-o", option]);
    }
    for sa in sas {
        let (icv, key) = (sa.icv.bytes(), hex(&sa.key_and_salt()));
        command.arg("-o").arg(format!(
            "uat:esp_sa:\"IPv4\",\"192.0.2.1\",\"198.51.100.2\",\"{:#010x}\",\
             \"AES-GCM with {icv} octet ICV [RFC4106]\",\"0x{key}\",\"NULL\",\"\"",
            sa.spi
        ));
    }
    command.args(["-T", "fields", "-E", "separator=,", "-E", "occurrence=f"]);
    for field in [
        "ip.checksum.status",
        "esp.spi",
        "esp.sequence",
        "esp.icv_good",
        "esp.contained_data",
        "esp.pad",
        "esp.protocol",
    ] {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap_or_else(|error| {
        panic!("tshark, which this test needs, does not run ({error}); run scripts/setup test")
    });
    assert!(output.status.success(), "tshark failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn tshark_reads_what_we_write() {
    let mut packets = Vec::new();
    let mut expected = Vec::new();
    let sas = sas();
    for sa in &sas {
        // From 48 on: behind an inner UDP header that is cut off tshark says nothing of the trailer.
        for (sequence, len) in (1..).zip((48..65).chain([576, 1420, 1500])) {
            let inner = inner(len % 2 == 1, len, 0xB8, len % 4 == 0, len as u32);
            let mut packet = sa.encapsulate(sequence, !sequence, &inner);
            let tampered = len == 64;
            if tampered {
                *packet.last_mut().unwrap() ^= 1;
            }
            packets.push(packet);
            let padding: Vec<u8> = (1..).take(2_usize.wrapping_sub(len) % 4).collect();
            expected.push(format!(
                "1,{:#010x},{sequence},{},{},{},{:#04x}",
                sa.spi,
                u8::from(!tampered),
                hex(&inner),
                hex(&padding),
                if len % 2 == 1 { 41 } else { 4 },
            ));
        }
    }
    let home = tempfile::tempdir().unwrap();
    let capture = home.path().join("esp.pcap");
    std::fs::write(&capture, pcap(&packets)).unwrap();
    let found = tshark(&capture, home.path(), &sas);
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "packet {place}");
    }
}
