//! Following the kernel: one socket that only listens, one that asks.
//!
//! The listening socket is opened before anything is dumped, so that no change falls between; changes that a dump
//! has already seen are applied once more, which does no harm.

use super::KernelError;
use super::decode;
use super::facts::{Change, Facts};
use futures_util::{Stream, StreamExt};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{NLM_F_REPLACE, NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::{AsyncSocket, SocketAddr};
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

/// Bytes that the kernel may queue for us before it drops notifications: some ten thousand of them.
const RECEIVE_BUFFER: usize = 8 << 20;

/// What is followed.
const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Something was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A change.
    Change(Change),
    /// Changes were lost: only a dump can tell what there is.
    Lost,
}

type Messages = dyn Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Send;

/// The listening side.
pub struct Monitor {
    messages: Pin<Box<Messages>>,
}

/// Opens both sides. Must be called inside a tokio runtime, which then drives them.
pub fn open() -> Result<(Handle, Monitor), KernelError> {
    let (mut listener, _, messages) =
        rtnetlink::new_multicast_connection(&GROUPS).map_err(KernelError::Socket)?;
    if let Err(error) = listener.socket_mut().socket_mut().set_rx_buf_sz(RECEIVE_BUFFER as i32) {
        tracing::debug!("the netlink socket keeps its small receive buffer: {error}");
    }
    let (asker, handle, _) = rtnetlink::new_connection().map_err(KernelError::Socket)?;
    tokio::spawn(listener);
    tokio::spawn(asker);
    Ok((handle, Monitor { messages: Box::pin(messages) }))
}

impl Monitor {
    /// The next thing of concern. Can be dropped and called again without a loss.
    pub async fn next(&mut self) -> Result<Notice, KernelError> {
        loop {
            let (message, _) = self.messages.next().await.ok_or(KernelError::Closed)?;
            if let Some(notice) = notice(&message) {
                return Ok(notice);
            }
        }
    }
}

fn notice(message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<Notice> {
    match &message.payload {
        NetlinkPayload::Overrun(_) => Some(Notice::Lost),
        NetlinkPayload::InnerMessage(inner) => {
            decode::change(inner, message.header.flags & NLM_F_REPLACE != 0).map(Notice::Change)
        }
        _ => None,
    }
}

/// Everything that there is now.
pub async fn dump(handle: &Handle) -> Result<Facts, KernelError> {
    let mut facts = Facts::default();
    let links = handle.link().get().execute();
    take(&mut facts, "list links", links, RouteNetlinkMessage::NewLink).await?;
    let addresses = handle.address().get().execute();
    take(&mut facts, "list addresses", addresses, RouteNetlinkMessage::NewAddress).await?;
    let routes = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
    take(&mut facts, "list IPv4 routes", routes, RouteNetlinkMessage::NewRoute).await?;
    let routes = handle.route().get(RouteMessageBuilder::<Ipv6Addr>::new().build()).execute();
    take(&mut facts, "list IPv6 routes", routes, RouteNetlinkMessage::NewRoute).await?;
    for (family, what) in
        [(AddressFamily::Inet, "list IPv4 neighbours"), (AddressFamily::Inet6, "list IPv6 neighbours")]
    {
        let neighbours = handle.neighbours().get().set_address_family(family).execute();
        take(&mut facts, what, neighbours, RouteNetlinkMessage::NewNeighbour).await?;
    }
    Ok(facts)
}

async fn take<M>(
    facts: &mut Facts,
    what: &str,
    messages: impl Stream<Item = Result<M, rtnetlink::Error>>,
    wrap: impl Fn(M) -> RouteNetlinkMessage,
) -> Result<(), KernelError> {
    let mut messages = std::pin::pin!(messages);
    while let Some(message) = messages.next().await {
        let message = message.map_err(KernelError::refused(what))?;
        if let Some(change) = decode::change(&wrap(message), false) {
            facts.apply(change);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_of_any_machine_has_a_loopback() {
        let (handle, _monitor) = open().unwrap();
        let facts = dump(&handle).await.unwrap();
        let lo = facts.link_named("lo").unwrap();
        assert!(facts.links[&lo].mtu >= 1500);
    }

    #[test]
    fn an_overrun_is_a_loss() {
        let message = NetlinkMessage::new(Default::default(), NetlinkPayload::Overrun(Vec::new()));
        assert_eq!(notice(&message), Some(Notice::Lost));
    }
}
