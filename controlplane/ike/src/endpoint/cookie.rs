//! Cookies: what a peer must return before we remember anything of it (RFC 7296, section 2.6).

use crate::crypto::{CryptoError, Prf, random};
use crate::message::IkeSpi;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a secret makes cookies. They are good for as long again.
const SERVICE: Duration = Duration::from_secs(60);

/// Makes cookies and knows them again, without remembering any.
pub(crate) struct Cookies {
    secret: [u8; 32],
    before: Option<[u8; 32]>,
    until: Instant,
}

impl Cookies {
    pub(crate) fn new(now: Instant) -> Result<Cookies, CryptoError> {
        Ok(Cookies { secret: random()?, before: None, until: now + SERVICE })
    }

    /// A cookie for a first request.
    pub(crate) fn make(
        &mut self,
        now: Instant,
        from: SocketAddr,
        spi: IkeSpi,
        nonce: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        if self.until <= now {
            // One that has been idle for long has not kept its last secret any longer than it may.
            let idle = self.until + SERVICE <= now;
            self.before = (!idle).then_some(self.secret);
            self.secret = random()?;
            self.until = now + SERVICE;
        }
        cookie(&self.secret, from, spi, nonce)
    }

    /// Whether a peer returned what we gave it.
    pub(crate) fn knows(&self, said: &[u8], from: SocketAddr, spi: IkeSpi, nonce: &[u8]) -> bool {
        let secrets = std::iter::once(&self.secret).chain(&self.before);
        secrets.map(|secret| cookie(secret, from, spi, nonce)).any(
            |made| matches!(made, Ok(made) if made.len() == said.len() && openssl::memcmp::eq(&made, said)),
        )
    }
}

fn cookie(secret: &[u8; 32], from: SocketAddr, spi: IkeSpi, nonce: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let address = match from.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let parts: [&[u8]; 4] = [&address, &from.port().to_be_bytes(), &spi.0.to_be_bytes(), nonce];
    Prf::HmacSha256.compute(secret, &parts).map(|made| made.expose().to_vec())
}
