//! The UDP sockets of IKE: ports 500 and 4500 of each address that tunnels begin at.
//!
//! A socket for each address says which of our addresses a datagram came to, and answers come from there. ESP in UDP never gets
//! here, as the data plane keeps it.

use crate::operator::trail::IKEV2;
use ike::message::Header;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// IKE's ports (RFC 7296, sections 2 and 2.23).
pub const PORTS: [u16; 2] = [500, 4500];
/// Datagrams that wait for the event loop; what comes beyond waits in the kernel, which drops what is too much.
const WAITING: usize = 1024;
/// Bytes of the longest datagram that is looked at.
const LONGEST: usize = 65_535;

/// A datagram that came.
#[derive(Debug)]
pub struct Datagram {
    /// The peer's address and port.
    pub from: SocketAddr,
    /// Ours.
    pub to: SocketAddr,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

/// The sockets.
#[derive(Debug)]
pub struct Sockets {
    open: BTreeMap<SocketAddr, Open>,
    wanted: BTreeSet<IpAddr>,
    came: mpsc::Sender<Datagram>,
}

#[derive(Debug)]
struct Open {
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Sockets {
    /// None yet; what will come by them comes out of the receiver.
    pub fn new() -> (Sockets, mpsc::Receiver<Datagram>) {
        let (came, receiver) = mpsc::channel(WAITING);
        (Sockets { open: BTreeMap::new(), wanted: BTreeSet::new(), came }, receiver)
    }

    /// Which addresses there are to be sockets of. Closes the others.
    pub fn want(&mut self, addresses: BTreeSet<IpAddr>) {
        self.open.retain(|at, _| addresses.contains(&at.ip()));
        self.wanted = addresses;
    }

    /// Opens what is wanted and not there. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Why the first of those that cannot be opened cannot; the others are open.
    pub fn open(&mut self) -> Result<(), (SocketAddr, io::Error)> {
        let mut outcome = Ok(());
        for &address in &self.wanted {
            for port in PORTS {
                let at = SocketAddr::new(address, port);
                if self.open.contains_key(&at) {
                    continue;
                }
                match self.bind(at) {
                    Ok(open) => drop(self.open.insert(at, open)),
                    Err(error) => outcome = outcome.and(Err((at, error))),
                }
            }
        }
        outcome
    }

    fn bind(&self, at: SocketAddr) -> io::Result<Open> {
        let socket = std::net::UdpSocket::bind(at)?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let reader = tokio::spawn(read(Arc::clone(&socket), at, self.came.clone()));
        Ok(Open { socket, reader })
    }

    /// Sends a datagram. What cannot be sent now is lost, as on the wire; IKE sends again what matters.
    pub fn send(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        trace("to", to, from, bytes);
        let sent = match self.open.get(&from) {
            Some(open) => open.socket.try_send_to(bytes, to).map(drop),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        if let Err(error) = sent {
            tracing::debug!("a datagram from {from} to {to} was not sent: {error}");
        }
    }
}

/// Says what a datagram is, as far as its header tells.
fn trace(way: &str, peer: SocketAddr, us: SocketAddr, bytes: &[u8]) {
    if !tracing::enabled!(target: IKEV2, tracing::Level::DEBUG) {
        return;
    }
    let datagram = if us.port() == PORTS[1] { bytes.strip_prefix(&[0; 4]).unwrap_or(bytes) } else { bytes };
    let what = Header::parse(datagram).map(|header| {
        let kind = if header.response { "response" } else { "request" };
        format!(
            "{} {kind} {}, IKE SA {} / {}",
            header.exchange, header.message_id, header.initiator_spi, header.responder_spi
        )
    });
    let what = what.as_deref().unwrap_or(if bytes == [0xFF] { "keepalive" } else { "no IKE message" });
    tracing::debug!(target: IKEV2, peer = %peer.ip(), "{way} {peer}: {what}, {} bytes", bytes.len());
}

async fn read(socket: Arc<UdpSocket>, to: SocketAddr, came: mpsc::Sender<Datagram>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((len, from)) => {
                let bytes = buffer.get(..len).unwrap_or_default().to_vec();
                trace("from", from, to, &bytes);
                if came.send(Datagram { from, to, bytes }).await.is_err() {
                    return;
                }
            }
            // An ICMP error of an earlier datagram, or an interface that went down.
            Err(error) => {
                tracing::debug!("IKE on {to}: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_come_with_both_ends_and_a_closed_socket_sends_nothing() {
        let (mut sockets, mut came) = Sockets::new();
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // As any port will do for a test, one that is free.
        let open = sockets.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let at = open.socket.local_addr().unwrap();
        sockets.open.insert(at, open);
        peer.send_to(b"IKE", at).await.unwrap();
        let datagram = came.recv().await.unwrap();
        assert_eq!((datagram.from, &*datagram.bytes), (peer.local_addr().unwrap(), &b"IKE"[..]));
        sockets.send(at, datagram.from, b"yes");
        let mut buffer = [0; 8];
        assert_eq!(peer.recv_from(&mut buffer).await.unwrap(), (3, at));
        sockets.want(BTreeSet::new());
        assert!(sockets.open.is_empty());
        sockets.send(at, datagram.from, b"no");
    }
}
