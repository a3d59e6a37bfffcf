//! So many packets are lost that the low half of an extended sequence number goes once round (RFC 4303, appendix A3).

#![allow(clippy::unwrap_used)]

mod gateway;

use gateway::frames::{datagram, frame};
use gateway::{Site, run};
use model::{Cipher, Hmac, IcvLen, KeyLen, Suite};

/// Some bursts.
const PACKETS: u64 = 320;

fn site(suite: Suite, first_sequence: u64) -> Site {
    Site { suite, first_sequence, esn: true, ..Site::a() }
}

fn sealed(site: &Site) -> Vec<Vec<u8>> {
    let packet = datagram("10.1.0.9", "10.2.0.7", 64, b"after long loss");
    let sent: Vec<_> = (0..PACKETS).map(|_| frame(site.macs[0], site.neighbours[0], &packet)).collect();
    run(site, &sent, &[]).wan
}

/// By our own kernel and by a device; also where the nonce is made of the number.
fn suites() -> [Suite; 4] {
    [
        Suite::AesGcm { key: KeyLen::Aes128, icv: IcvLen::Bytes16 },
        Suite::AesGcmIiv { key: KeyLen::Aes256 },
        Suite::AesGmac { key: KeyLen::Aes128 },
        Suite::CipherHmac { cipher: Cipher::AesCbc(KeyLen::Aes128), hmac: Hmac::Sha256 },
    ]
}

#[test]
fn an_sa_outlives_the_loss_of_a_whole_run() {
    for suite in suites() {
        let first = (1 << 32) + 10_000;
        let frames = sealed(&site(suite, first));
        let there = run(&site(suite, 1).peer(), &[], &frames);
        let (sa, drops) = (there.sas[1], there.counters.drops());
        assert_eq!(sa.counters.resynchronised, 1, "{suite:?}: {sa:?} {drops:?}");
        assert_eq!(sa.highest, first + PACKETS - 1, "{suite:?}");
        assert_eq!(sa.counters.packets + sa.counters.auth_failed, PACKETS, "{suite:?}: {sa:?} {drops:?}");
        // Three bursts at most: one that fails, that of the try, whose others fail too; and one that the first did not fill.
        assert!(
            sa.counters.auth_failed >= esp::resync::RUN && sa.counters.packets >= PACKETS - 3 * 64,
            "{sa:?}"
        );
        assert_eq!(there.lan.len() as u64, sa.counters.packets);
    }
}

/// Nor does a flood of forgeries move the window, or cost more than a packet of what is genuine.
#[test]
fn forgeries_move_nothing() {
    for suite in suites() {
        let frames = sealed(&site(suite, 1));
        let mut flood = frames.clone();
        for forged in &mut flood {
            *forged.last_mut().unwrap() ^= 1;
        }
        flood.extend(frames);
        let there = run(&site(suite, 1).peer(), &[], &flood);
        let sa = there.sas[1];
        assert_eq!((sa.counters.resynchronised, sa.highest), (0, PACKETS), "{suite:?}: {sa:?}");
        assert!(sa.counters.packets >= PACKETS - 1, "{suite:?}: {sa:?}");
    }
}
