//! The numbers of IANA's IKEv2 registries that we know by name.

use std::fmt;

/// Defines a number of the wire with the names that we know; any other value is as sayable as those.
macro_rules! registry {
    ($(#[$about:meta])* $name:ident($repr:ty) { $($(#[$doc:meta])* $constant:ident = $value:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $repr);

        impl $name {
            $($(#[$doc])* pub const $constant: $name = $name($value);)*

            /// The registry's name for it; `None` if we know none.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($constant)),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}", self.0),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

registry! {
    /// What a message is for (RFC 7296, section 3.1).
    ExchangeType(u8) {
        /// The first exchange: algorithms, nonces, Diffie-Hellman. In clear.
        IKE_SA_INIT = 34,
        /// The second: identities, their proof, the first child SA.
        IKE_AUTH = 35,
        /// A new child SA, or a new SA in the place of an old one.
        CREATE_CHILD_SA = 36,
        /// Deletion, liveness, notices.
        INFORMATIONAL = 37,
    }
}

registry! {
    /// What a payload is (RFC 7296, section 3.2).
    PayloadType(u8) {
        /// The end of the chain.
        NONE = 0,
        /// Security association: proposals.
        SA = 33,
        /// Key exchange.
        KE = 34,
        /// The initiator's identity.
        IDI = 35,
        /// The responder's identity.
        IDR = 36,
        /// A certificate.
        CERT = 37,
        /// Which certification authorities are trusted.
        CERTREQ = 38,
        /// The proof of an identity.
        AUTH = 39,
        /// A nonce.
        NONCE = 40,
        /// An error or a status.
        NOTIFY = 41,
        /// SAs that are gone.
        DELETE = 42,
        /// Who made this.
        VENDOR_ID = 43,
        /// The initiator's traffic selectors.
        TSI = 44,
        /// The responder's traffic selectors.
        TSR = 45,
        /// Encrypted and authenticated.
        SK = 46,
        /// Configuration of addresses; we skip it.
        CP = 47,
        /// EAP; we skip it.
        EAP = 48,
        /// A fragment of what would be an SK payload (RFC 7383).
        SKF = 53,
    }
}

registry! {
    /// What a Notify payload says (RFC 7296, section 3.10.1). Below 16384 it is an error.
    NotifyType(u16) {
        /// A payload that we must understand and do not; its data is that payload's type.
        UNSUPPORTED_CRITICAL_PAYLOAD = 1,
        /// The IKE SPI is not ours.
        INVALID_IKE_SPI = 4,
        /// A later major version.
        INVALID_MAJOR_VERSION = 5,
        /// Some field is out of its range.
        INVALID_SYNTAX = 7,
        /// A message ID outside the window.
        INVALID_MESSAGE_ID = 9,
        /// An ESP packet with an SPI that is not ours.
        INVALID_SPI = 11,
        /// None of the proposals will do.
        NO_PROPOSAL_CHOSEN = 14,
        /// The KE payload is of another group than the one chosen; its data is the chosen one.
        INVALID_KE_PAYLOAD = 17,
        /// The proof of identity failed.
        AUTHENTICATION_FAILED = 24,
        /// One address pair only.
        SINGLE_PAIR_REQUIRED = 34,
        /// No more child SAs in this IKE SA.
        NO_ADDITIONAL_SAS = 35,
        /// No address to give.
        INTERNAL_ADDRESS_FAILURE = 36,
        /// A configuration request was wanted.
        FAILED_CP_REQUIRED = 37,
        /// None of the traffic selectors will do.
        TS_UNACCEPTABLE = 38,
        /// The selectors of a packet do not fit its SA.
        INVALID_SELECTORS = 39,
        /// Not now; try again.
        TEMPORARY_FAILURE = 43,
        /// The child SA to be rekeyed is not there.
        CHILD_SA_NOT_FOUND = 44,
        /// The sender knows of no other IKE SA with us.
        INITIAL_CONTACT = 16384,
        /// How many messages may be outstanding.
        SET_WINDOW_SIZE = 16385,
        /// More selectors would be possible.
        ADDITIONAL_TS_POSSIBLE = 16386,
        /// IPComp.
        IPCOMP_SUPPORTED = 16387,
        /// Hash of the source address and port.
        NAT_DETECTION_SOURCE_IP = 16388,
        /// Hash of the destination address and port.
        NAT_DETECTION_DESTINATION_IP = 16389,
        /// What the responder wants back before it remembers anything.
        COOKIE = 16390,
        /// Transport mode, please.
        USE_TRANSPORT_MODE = 16391,
        /// This child SA replaces that one.
        REKEY_SA = 16393,
        /// No TFC padding.
        ESP_TFC_PADDING_NOT_SUPPORTED = 16394,
        /// By when the peer has to prove itself anew (RFC 4478).
        AUTH_LIFETIME = 16403,
        /// An IKE SA without a child is possible (RFC 6023).
        CHILDLESS_IKEV2_SUPPORTED = 16418,
        /// Fragmentation (RFC 7383).
        IKEV2_FRAGMENTATION_SUPPORTED = 16430,
        /// Hash algorithms for signatures (RFC 7427).
        SIGNATURE_HASH_ALGORITHMS = 16431,
        /// Espalier to Espalier, beside NO_PROPOSAL_CHOSEN: what would have done. Of the private range.
        ESPALIER_OFFER = 40967,
        /// Espalier to Espalier, beside TS_UNACCEPTABLE: which selectors would have done. Of the private range.
        ESPALIER_SELECTORS = 40968,
    }
}

impl NotifyType {
    /// Whether it reports an error (RFC 7296, section 3.10.1).
    pub const fn is_error(self) -> bool {
        self.0 < 16384
    }
}

registry! {
    /// What a proposal, a Notify or a Delete payload is about (RFC 7296, section 3.3.1).
    ProtocolId(u8) {
        /// Nothing in particular, in a Notify payload.
        NONE = 0,
        /// The IKE SA.
        IKE = 1,
        /// Authentication header; not ours.
        AH = 2,
        /// ESP.
        ESP = 3,
    }
}

registry! {
    /// What a transform chooses (RFC 7296, section 3.3.2).
    TransformType(u8) {
        /// Encryption.
        ENCR = 1,
        /// Pseudorandom function.
        PRF = 2,
        /// Integrity.
        INTEG = 3,
        /// Diffie-Hellman group.
        DH = 4,
        /// Extended sequence numbers.
        ESN = 5,
    }
}

registry! {
    /// How an identity is proved (RFC 7296, section 3.8; RFC 7427).
    AuthMethod(u8) {
        /// RSA PKCS#1 over SHA-1.
        RSA_SIGNATURE = 1,
        /// A key that both know.
        SHARED_KEY = 2,
        /// ECDSA with SHA-256 on P-256 (RFC 4754).
        ECDSA_256 = 9,
        /// ECDSA with SHA-384 on P-384 (RFC 4754).
        ECDSA_384 = 10,
        /// ECDSA with SHA-512 on P-521 (RFC 4754).
        ECDSA_521 = 11,
        /// Any signature, with its AlgorithmIdentifier (RFC 7427).
        DIGITAL_SIGNATURE = 14,
    }
}
