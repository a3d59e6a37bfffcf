//! `debug crypto`: what the daemon traces of IKE and of its SAs, live, to whoever listens.
//!
//! Such events bear the target of their topic, [`IKEV2`] or [`IPSEC`], and the address of the peer as the field `peer`. They go to
//! all listeners; one that reads too slowly misses some and is told how many, and nobody else waits for it. While nobody
//! listens, nothing is kept.

use serde::{Deserialize, Serialize};
use std::fmt::{Debug, Write as _};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The target of what is about IKE: messages, IKE SAs, and what came to nothing.
pub const IKEV2: &str = "ikev2";
/// The target of what is about child SAs: their coming and going, and the packets that want them.
pub const IPSEC: &str = "ipsec";

/// Events that wait for the slowest listener.
const WAITING: usize = 4096;

/// What a listener wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// [`IKEV2`].
    Ikev2,
    /// [`IPSEC`].
    Ipsec,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Nanoseconds since 1970.
    pub at: u64,
    /// What it is about.
    pub topic: Topic,
    /// As in the log.
    pub level: String,
    /// The peer, where there is one.
    pub peer: Option<IpAddr>,
    /// In words.
    pub text: String,
}

static LISTENERS: LazyLock<broadcast::Sender<Arc<Said>>> = LazyLock::new(|| broadcast::channel(WAITING).0);

/// Listens from now on.
pub(crate) fn listen() -> broadcast::Receiver<Arc<Said>> {
    LISTENERS.subscribe()
}

/// What passes events on. The daemon's subscriber has it beside what writes the log.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    // Asked for each event, as listeners come and go.
    Trail.with_filter(dynamic_filter_fn(|metadata, _| {
        topic(metadata.target()).is_some() && LISTENERS.receiver_count() > 0
    }))
}

fn topic(target: &str) -> Option<Topic> {
    match target {
        IKEV2 => Some(Topic::Ikev2),
        IPSEC => Some(Topic::Ipsec),
        _ => None,
    }
}

struct Trail;

impl<S: Subscriber> Layer<S> for Trail {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(topic) = topic(event.metadata().target()) else { return };
        let mut words = Words::default();
        event.record(&mut words);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let level = event.metadata().level().to_string().to_lowercase();
        // Nobody may listen any more.
        let _ = LISTENERS.send(Arc::new(Said { at, topic, level, peer: words.peer, text: words.text }));
    }
}

#[derive(Default)]
struct Words {
    peer: Option<IpAddr>,
    text: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => drop(write!(self.text, "{value:?}")),
            "peer" => self.peer = format!("{value:?}").parse().ok(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn listeners_hear_their_topics_with_the_peer() {
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer()));
        tracing::debug!(target: IKEV2, "before anybody listens");
        let mut ear = listen();
        let peer: IpAddr = "192.0.2.7".parse().unwrap();
        tracing::debug!(target: IKEV2, %peer, "IKE_AUTH {}", 1);
        tracing::info!("of no topic");
        tracing::info!(target: IPSEC, "gone");
        let said = ear.try_recv().unwrap();
        assert_eq!(
            (said.topic, said.peer, &*said.text, &*said.level),
            (Topic::Ikev2, Some(peer), "IKE_AUTH 1", "debug")
        );
        let said = ear.try_recv().unwrap();
        assert_eq!((said.topic, said.peer, &*said.text), (Topic::Ipsec, None, "gone"));
        assert!(ear.try_recv().is_err());
    }
}
