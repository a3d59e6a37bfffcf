//! Diffie-Hellman (RFC 7296, sections 1.2 and 3.4; RFC 5903; RFC 8031).

use super::{CryptoError, Group, Secret};
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::derive::Deriver;
use openssl::dh::Dh;
use openssl::ec::{EcGroup, EcKey, EcPoint, PointConversionForm};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};

/// A secret that two know.
pub type Shared = Secret;

/// A key exchange came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DhError {
    /// The peer's public value is no value of the group. The peer's fault.
    #[error("the peer's public value is not one of {0}")]
    PublicValue(Group),
    /// Ours.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl From<ErrorStack> for DhError {
    fn from(error: ErrorStack) -> DhError {
        DhError::Crypto(error.into())
    }
}

/// Our half of a key exchange.
pub struct KeyPair {
    group: Group,
    private: PKey<Private>,
    public: Vec<u8>,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({})", self.group)
    }
}

/// How a group does its arithmetic.
enum Kind {
    Modp(BigNum),
    Nist(Nid),
    X25519,
}

impl Group {
    fn kind(self) -> Result<Kind, ErrorStack> {
        Ok(match self {
            Group::Modp1024 => Kind::Modp(BigNum::get_rfc2409_prime_1024()?),
            Group::Modp1536 => Kind::Modp(BigNum::get_rfc3526_prime_1536()?),
            Group::Modp2048 => Kind::Modp(BigNum::get_rfc3526_prime_2048()?),
            Group::Modp3072 => Kind::Modp(BigNum::get_rfc3526_prime_3072()?),
            Group::Modp4096 => Kind::Modp(BigNum::get_rfc3526_prime_4096()?),
            Group::P256 => Kind::Nist(Nid::X9_62_PRIME256V1),
            Group::P384 => Kind::Nist(Nid::SECP384R1),
            Group::P521 => Kind::Nist(Nid::SECP521R1),
            Group::X25519 => Kind::X25519,
        })
    }

    /// Bytes of a public value on the wire.
    pub const fn public_len(self) -> usize {
        match self {
            Group::Modp1024 => 128,
            Group::Modp1536 => 192,
            Group::Modp2048 => 256,
            Group::Modp3072 => 384,
            Group::Modp4096 => 512,
            Group::P256 => 64,
            Group::P384 => 96,
            Group::P521 => 132,
            Group::X25519 => 32,
        }
    }

    /// A fresh pair.
    ///
    /// # Errors
    /// OpenSSL's.
    pub fn generate(self) -> Result<KeyPair, CryptoError> {
        match self.kind()? {
            Kind::Modp(prime) => {
                self.modp_pair(Dh::from_pqg(prime, None, BigNum::from_u32(2)?)?.generate_key()?)
            }
            Kind::Nist(curve) => {
                let curve = EcGroup::from_curve_name(curve)?;
                self.nist_pair(EcKey::generate(&curve)?)
            }
            Kind::X25519 => self.x25519_pair(PKey::generate_x25519()?),
        }
    }

    /// The answering side's whole share of an exchange: a fresh pair's public value, and what it shares with `peer`. Nothing
    /// of it depends on anything else, so that it can be done elsewhere.
    ///
    /// # Errors
    /// Those of [`KeyPair::agree`].
    pub fn answer(self, peer: &[u8]) -> Result<(Vec<u8>, Shared), DhError> {
        let pair = self.generate()?;
        let shared = pair.agree(peer)?;
        Ok((pair.public, shared))
    }

    fn modp_pair(self, key: Dh<Private>) -> Result<KeyPair, CryptoError> {
        let public = key.public_key().to_vec_padded(self.public_len() as i32)?;
        Ok(KeyPair { group: self, private: PKey::from_dh(key)?, public })
    }

    fn nist_pair(self, key: EcKey<Private>) -> Result<KeyPair, CryptoError> {
        let mut context = BigNumContext::new()?;
        let form = PointConversionForm::UNCOMPRESSED;
        let mut public = key.public_key().to_bytes(key.group(), form, &mut context)?;
        // On the wire are the two coordinates alone (RFC 5903, section 7).
        public.remove(0);
        Ok(KeyPair { group: self, private: PKey::from_ec_key(key)?, public })
    }

    fn x25519_pair(self, key: PKey<Private>) -> Result<KeyPair, CryptoError> {
        let public = key.raw_public_key()?;
        Ok(KeyPair { group: self, private: key, public })
    }
}

impl KeyPair {
    /// Its group.
    pub const fn group(&self) -> Group {
        self.group
    }

    /// What goes to the peer.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// What we share with whoever has the other half of `peer`.
    ///
    /// # Errors
    /// [`DhError::PublicValue`] if `peer` is no public value of the group (RFC 6989).
    pub fn agree(&self, peer: &[u8]) -> Result<Shared, DhError> {
        let refuse = |_: ErrorStack| DhError::PublicValue(self.group);
        if peer.len() != self.group.public_len() {
            return Err(DhError::PublicValue(self.group));
        }
        match self.group.kind()? {
            Kind::Modp(prime) => {
                let public = BigNum::from_slice(peer)?;
                if !is_between(&public, &prime)? {
                    return Err(DhError::PublicValue(self.group));
                }
                let peer = Dh::from_pqg(prime, None, BigNum::from_u32(2)?)?.set_public_key(public)?;
                let shared = derive(&self.private, &PKey::from_dh(peer)?).map_err(refuse)?;
                // OpenSSL leaves leading zeros out; section 2.14 wants them. (`Dh::compute_key` leaves as many behind it, and
                // does not say how many.)
                let mut padded = Vec::with_capacity(self.group.public_len());
                padded.resize(self.group.public_len().saturating_sub(shared.expose().len()), 0);
                padded.extend(shared.expose());
                Ok(Secret::new(padded))
            }
            Kind::Nist(curve) => {
                let curve = EcGroup::from_curve_name(curve)?;
                let mut context = BigNumContext::new()?;
                let point = [&[4], peer].concat();
                // It must be on the curve: OpenSSL looks.
                let point = EcPoint::from_bytes(&curve, &point, &mut context).map_err(refuse)?;
                let peer = EcKey::from_public_key(&curve, &point).map_err(refuse)?;
                peer.check_key().map_err(refuse)?;
                derive(&self.private, &PKey::from_ec_key(peer)?).map_err(refuse)
            }
            Kind::X25519 => {
                let peer = PKey::public_key_from_raw_bytes(peer, Id::X25519).map_err(refuse)?;
                // A public value of small order would give zeros (RFC 8031, section 3): OpenSSL refuses it.
                derive(&self.private, &peer).map_err(refuse)
            }
        }
    }
}

/// 1 < value < p - 1 (RFC 6989, section 2.1).
fn is_between(value: &BigNumRef, prime: &BigNumRef) -> Result<bool, ErrorStack> {
    let mut above = prime.to_owned()?;
    above.sub_word(1)?;
    let one = BigNum::from_u32(1)?;
    Ok(*value > *one && *value < *above)
}

fn derive(key: &PKey<Private>, peer: &PKey<openssl::pkey::Public>) -> Result<Secret, ErrorStack> {
    let mut deriver = Deriver::new(key)?;
    deriver.set_peer(peer)?;
    Ok(Secret::new(deriver.derive_to_vec()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn nist(group: Group, nid: Nid, private: &str) -> KeyPair {
        let curve = EcGroup::from_curve_name(nid).unwrap();
        let private = BigNum::from_slice(&hex(private)).unwrap();
        let mut public = EcPoint::new(&curve).unwrap();
        public.mul_generator2(&curve, &private, &mut BigNumContext::new().unwrap()).unwrap();
        group.nist_pair(EcKey::from_private_components(&curve, &private, &public).unwrap()).unwrap()
    }

    /// RFC 5903, section 8.1.
    #[test]
    fn vectors_of_p256() {
        let i = nist(
            Group::P256,
            Nid::X9_62_PRIME256V1,
            "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
        );
        let r = nist(
            Group::P256,
            Nid::X9_62_PRIME256V1,
            "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
        );
        assert_eq!(
            i.public(),
            hex(
                "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C37725811805271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3"
            )
        );
        assert_eq!(
            r.public(),
            hex(
                "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF6356FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB"
            )
        );
        let shared = hex("D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE");
        assert_eq!(i.agree(r.public()).unwrap().expose(), shared);
        assert_eq!(r.agree(i.public()).unwrap().expose(), shared);
    }

    /// RFC 7748, section 6.1, from Bob's side.
    #[test]
    fn vectors_of_x25519() {
        let pair = |private: &str| {
            Group::X25519
                .x25519_pair(PKey::private_key_from_raw_bytes(&hex(private), Id::X25519).unwrap())
                .unwrap()
        };
        let bob = pair("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        assert_eq!(bob.public(), hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
        let alice_public = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(bob.agree(&alice_public).unwrap().expose(), shared);
        assert!(matches!(bob.agree(&[0; 32]), Err(DhError::PublicValue(Group::X25519))));
    }

    #[test]
    fn both_ends_of_every_group_agree() {
        for &group in Group::ALL {
            let (a, b) = (group.generate().unwrap(), group.generate().unwrap());
            assert_eq!(a.public().len(), group.public_len(), "{group}");
            assert_eq!(a.agree(b.public()).unwrap(), b.agree(a.public()).unwrap(), "{group}");
        }
    }

    /// Section 2.14: as long as the modulus. Some would leave zeros out, and then one exchange in 256 fails.
    #[test]
    fn leading_zeros_of_the_secret_stay() {
        let prime = BigNum::get_rfc2409_prime_1024().unwrap();
        let (mut short, mut context) = (0, BigNumContext::new().unwrap());
        let ours = Group::Modp1024.generate().unwrap();
        let key = ours.private.dh().unwrap();
        // Other public values: powers of two, which are as good as any.
        for exponent in 2..4000 {
            let (mut public, mut right) = (BigNum::new().unwrap(), BigNum::new().unwrap());
            let (two, exponent) = (BigNum::from_u32(2).unwrap(), BigNum::from_u32(exponent).unwrap());
            public.mod_exp(&two, &exponent, &prime, &mut context).unwrap();
            right.mod_exp(&public, key.private_key(), &prime, &mut context).unwrap();
            if right.num_bytes() == 128 {
                continue;
            }
            short += 1;
            let shared = ours.agree(&public.to_vec_padded(128).unwrap()).unwrap();
            assert_eq!(shared.expose(), right.to_vec_padded(128).unwrap());
            assert_eq!(shared.expose()[0], 0);
        }
        assert!(short > 0);
    }

    #[test]
    fn values_outside_the_group_are_refused() {
        for &group in Group::ALL {
            let pair = group.generate().unwrap();
            let (mut one, zero) = (vec![0; group.public_len()], vec![0; group.public_len()]);
            one[group.public_len() - 1] = 1;
            let ones = vec![0xFF; group.public_len()];
            for bad in [zero, one, ones, vec![2; group.public_len() - 1], Vec::new()] {
                // Every string of 32 bytes is a value of Curve25519; of these, zero alone is refused.
                if group == Group::X25519 && bad.len() == 32 && bad != [0; 32] {
                    continue;
                }
                assert!(matches!(pair.agree(&bad), Err(DhError::PublicValue(_))), "{group}");
            }
        }
    }
}
