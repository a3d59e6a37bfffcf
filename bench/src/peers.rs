//! What is to be decrypted: a gateway of our own, at the other end of all tunnels, protects it. So it knows every suite that
//! there is, and whether it was done well is proved by who opens it.

use crate::case::Case;
use crate::dataplane::{Dataplane, Machine};
use crate::error::Error;
use crate::pcap;
use crate::tunnels::Role;
use crate::tunnels::{Devices, End, WAN};
use shm::PortId;
use std::path::Path;
use std::time::Duration;

/// How long the gateway runs between two looks at how far it is.
const STEP: Duration = Duration::from_millis(2);
/// Looks that it has: some seconds.
const LOOKS: u32 = 2000;

/// Makes of plain frames what the WAN port of the gateway that is measured receives.
///
/// # Errors
///
/// [`Error::Unproven`] if not all became ESP, and those of [`Dataplane`].
pub fn protect(
    plain: &[Vec<u8>],
    case: &Case,
    machine: &Machine,
    folder: &Path,
) -> Result<Vec<Vec<u8>>, Error> {
    let (input, output) = (folder.join("plain.pcap"), folder.join("protected.pcap"));
    pcap::write(&input, plain.iter().map(Vec::as_slice))
        .map_err(Error::io(format!("cannot write {}", input.display())))?;
    let devices = Devices {
        lan: format!("net_pcap0,rx_pcap={}", input.display()),
        wan: format!("net_pcap1,tx_pcap={}", output.display()),
    };
    let case = &Case { workers: 1, ..*case };
    let mut gateway = Dataplane::start(
        machine,
        Role { case, end: End::Peers, devices: &devices, idle: "sleep", window: 0 },
        folder,
    )?;
    let wan = PortId::new(WAN).ok_or_else(|| Error::Generator(format!("there can be no port {WAN}")))?;
    let sent = |gateway: &Dataplane| gateway.counters().traffic(wan).tx_packets;
    let mut looks = 0;
    while sent(&gateway) < plain.len() as u64 && looks < LOOKS {
        gateway.run(STEP)?;
        looks += 1;
    }
    let drops = gateway.counters().drops();
    drop(gateway);
    let protected = pcap::read(&output).map_err(Error::io(format!("cannot read {}", output.display())))?;
    if protected.len() == plain.len() {
        return Ok(protected);
    }
    let drops: Vec<_> = drops.iter().filter(|&(_, &packets)| packets > 0).collect();
    Err(Error::Unproven {
        case: case.to_string(),
        why: format!("the peers protected {} of {} packets: {drops:?}", protected.len(), plain.len()),
    })
}
