//! What is looked up.

/// The fields of an IPv4 packet, in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyV4 {
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// Source port, if [`KeyV4::has_ports`].
    pub source_port: u16,
    /// Destination port, if [`KeyV4::has_ports`].
    pub destination_port: u16,
    /// Number of the next-layer protocol.
    pub protocol: u8,
    /// The packet has ports that can be seen. Without, only a rule of every port matches.
    pub has_ports: bool,
}

/// The fields of an IPv6 packet, in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyV6 {
    /// Source address.
    pub source: u128,
    /// Destination address.
    pub destination: u128,
    /// Source port, if [`KeyV6::has_ports`].
    pub source_port: u16,
    /// Destination port, if [`KeyV6::has_ports`].
    pub destination_port: u16,
    /// Number of the next-layer protocol, behind extension headers.
    pub protocol: u8,
    /// The packet has ports that can be seen. Without, only a rule of every port matches.
    pub has_ports: bool,
}

/// A key of either family, its addresses left-aligned in 128 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) source: u128,
    pub(crate) destination: u128,
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) protocol: u8,
}

impl From<&KeyV4> for Key {
    #[inline]
    fn from(key: &KeyV4) -> Key {
        Key {
            source: u128::from(key.source) << 96,
            destination: u128::from(key.destination) << 96,
            ports: key.has_ports.then_some((key.source_port, key.destination_port)),
            protocol: key.protocol,
        }
    }
}

impl From<&KeyV6> for Key {
    #[inline]
    fn from(key: &KeyV6) -> Key {
        Key {
            source: key.source,
            destination: key.destination,
            ports: key.has_ports.then_some((key.source_port, key.destination_port)),
            protocol: key.protocol,
        }
    }
}
