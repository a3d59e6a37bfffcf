//! Linux's side: what the kernel knows ([`facts`]), how we hear of it ([`monitor`], [`decode`]), and what we set on it
//! ([`setup`]).
pub mod decode;
pub mod facts;
pub mod monitor;
pub mod setup;

use rtnetlink::packet_core::NetlinkPayload;

/// The kernel did not do as asked, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Socket(std::io::Error),
    /// A request failed.
    #[error("the kernel refused to {what}: {}", reason(.source))]
    Refused {
        /// What was asked: "list links", "add 192.0.2.1/24 to wan".
        what: String,
        /// Its answer.
        source: Box<rtnetlink::Error>,
    },
    /// The netlink connection ended; nothing more will be heard.
    #[error("the netlink socket was closed")]
    Closed,
}

impl KernelError {
    fn refused(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> KernelError {
        let what = what.into();
        move |source| KernelError::Refused { what, source: Box::new(source) }
    }

    /// The errno of the kernel's answer (positive), if it was that.
    pub fn errno(&self) -> Option<i32> {
        match self {
            KernelError::Refused { source, .. } => errno(source),
            KernelError::Socket(error) => error.raw_os_error(),
            KernelError::Closed => None,
        }
    }
}

fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| -code.get()),
        rtnetlink::Error::UnexpectedMessage(message) => match &message.payload {
            NetlinkPayload::Error(message) => message.code.map(|code| -code.get()),
            _ => None,
        },
        _ => None,
    }
}

/// The operating system's words for the errno, where there is one.
fn reason(error: &rtnetlink::Error) -> String {
    match errno(error) {
        Some(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        None => error.to_string(),
    }
}
