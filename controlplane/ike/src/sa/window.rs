//! Message IDs, one request at a time in each direction, and what is kept to send again (RFC 7296, sections 2.1 to 2.3).

use super::Pending;
use std::time::{Duration, Instant};

/// A request of ours that has no answer yet.
pub(crate) struct Outstanding {
    pub(crate) message_id: u32,
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) pending: Pending,
    /// How often it was sent.
    pub(crate) tries: u32,
    pub(crate) again_at: Instant,
}

/// Both directions.
pub(crate) struct Window {
    next_request: u32,
    pub(crate) outstanding: Option<Outstanding>,
    /// The peer's next request.
    expected: u32,
    /// What its last was answered with.
    pub(crate) response: Vec<Vec<u8>>,
}

/// Where a request of the peer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Next,
    /// Answered, and to be answered again with the same.
    Last,
    Outside,
}

impl Window {
    pub(crate) fn new() -> Window {
        Window { next_request: 0, outstanding: None, expected: 0, response: Vec::new() }
    }

    /// The ID of the next request, whose sending [`Window::sent`] notes.
    pub(crate) fn next_id(&self) -> u32 {
        self.next_request
    }

    /// Notes a request that goes out now.
    pub(crate) fn sent(&mut self, datagrams: Vec<Vec<u8>>, pending: Pending, again_at: Instant) {
        let message_id = self.next_request;
        self.next_request = self.next_request.saturating_add(1);
        self.outstanding = Some(Outstanding { message_id, datagrams, pending, tries: 1, again_at });
    }

    /// Takes the request off the window whose answer came; `None` if there is none of that ID.
    pub(crate) fn answered(&mut self, message_id: u32) -> Option<Pending> {
        self.outstanding.take_if(|request| request.message_id == message_id).map(|request| request.pending)
    }

    /// Takes the first request off, to be sent anew in another form under the same ID 0 (cookies, another group).
    pub(crate) fn restart(&mut self) -> Option<Pending> {
        self.next_request = 0;
        self.outstanding.take().map(|request| request.pending)
    }

    /// The first exchange has ID 0 whatever form its request had; the next has 1.
    pub(crate) fn skip_first(&mut self) {
        self.next_request = 1;
    }

    pub(crate) fn place(&self, message_id: u32) -> Place {
        if message_id == self.expected {
            Place::Next
        } else if message_id.checked_add(1) == Some(self.expected) {
            Place::Last
        } else {
            Place::Outside
        }
    }

    /// Notes the answer to the request that was next.
    pub(crate) fn answer(&mut self, datagrams: Vec<Vec<u8>>) {
        self.expected = self.expected.saturating_add(1);
        self.response = datagrams;
    }
}

/// How long to wait after that many sendings: twice as long each time.
pub(crate) fn back_off(first: Duration, tries: u32) -> Duration {
    first.saturating_mul(1 << tries.saturating_sub(1).min(16))
}
