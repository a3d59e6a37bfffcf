//! GHASH (NIST SP 800-38D, section 6.4) as POLYVAL (RFC 8452, appendix A): with blocks turned over and a hash key that is
//! doubled beforehand, products need no shifts. [`Sum`] collects products that are reduced only once.

use super::v128::V128;
use super::vector::Vector;
use std::arch::x86_64::*;

/// x^127 + x^126 + x^121, the part of the field's polynomial that a reduction multiplies by.
const POLYNOMIAL: i64 = 0xC2 << 56;

/// A sum of products of 256 bits in each lane, not yet reduced.
pub(super) struct Sum<V> {
    low: V,
    /// Half of it belongs to each of the others; by Karatsuba, less both.
    middle: V,
    high: V,
}

impl<V: Vector> Sum<V> {
    /// Nothing.
    #[inline(always)]
    pub(super) unsafe fn zero() -> Sum<V> {
        // SAFETY: the caller has V's instructions.
        unsafe { Sum { low: V::zero(), middle: V::zero(), high: V::zero() } }
    }

    /// Adds the product of two.
    #[inline(always)]
    pub(super) unsafe fn add(&mut self, a: V, b: V) {
        // SAFETY: the caller has V's instructions.
        unsafe {
            self.low = self.low.xor(a.multiply::<0x00>(b));
            self.middle = middle(self.middle, a, b);
            self.high = self.high.xor(a.multiply::<0x11>(b));
        }
    }

    /// Adds two products, which where three are summed up at once is less work than one after the other.
    #[inline(always)]
    pub(super) unsafe fn add_two(&mut self, a: [V; 2], b: [V; 2]) {
        // SAFETY: the caller has V's instructions.
        unsafe {
            self.low = self.low.xor3(a[0].multiply::<0x00>(b[0]), a[1].multiply::<0x00>(b[1]));
            self.middle = middle(middle(self.middle, a[0], b[0]), a[1], b[1]);
            self.high = self.high.xor3(a[0].multiply::<0x11>(b[0]), a[1].multiply::<0x11>(b[1]));
        }
    }

    /// See [`Vector::pin`].
    #[inline(always)]
    pub(super) unsafe fn pin(&mut self) {
        // SAFETY: the caller has V's instructions.
        unsafe {
            self.low = self.low.pin();
            self.middle = self.middle.pin();
            self.high = self.high.pin();
        }
    }

    /// Low and high half, with what was between them.
    #[inline(always)]
    unsafe fn halves(self) -> (V, V) {
        // SAFETY: the caller has V's instructions.
        unsafe {
            let middle = if V::KARATSUBA { self.middle.xor3(self.low, self.high) } else { self.middle };
            (self.low.xor(middle.low_to_high()), self.high.xor(middle.high_to_low()))
        }
    }

    /// Each lane by itself, reduced.
    #[inline(always)]
    pub(super) unsafe fn reduce(self) -> V {
        // SAFETY: the caller has V's instructions.
        unsafe {
            let (low, high) = self.halves();
            reduce(low, high)
        }
    }

    /// All lanes' sum, reduced.
    #[inline(always)]
    pub(super) unsafe fn total(self) -> __m128i {
        // SAFETY: the caller has V's instructions, which are no fewer than those of 128 bits.
        unsafe {
            let (low, high) = self.halves();
            reduce(V128::broadcast(low.fold()), V128::broadcast(high.fold())).first()
        }
    }
}

/// Adds what is between low and high half of a product.
#[inline(always)]
unsafe fn middle<V: Vector>(sum: V, a: V, b: V) -> V {
    // SAFETY: the caller has V's instructions.
    unsafe {
        if V::KARATSUBA {
            sum.xor(a.xor(a.swap()).multiply::<0x00>(b.xor(b.swap())))
        } else {
            sum.xor3(a.multiply::<0x01>(b), a.multiply::<0x10>(b))
        }
    }
}

/// Montgomery's reduction by 2^128, half of it at a time.
#[inline(always)]
unsafe fn reduce<V: Vector>(low: V, high: V) -> V {
    // SAFETY: the caller has V's instructions.
    unsafe {
        let polynomial = V::broadcast(_mm_set_epi64x(0, POLYNOMIAL));
        let half = low.swap().xor(low.multiply::<0x00>(polynomial));
        high.xor3(half.swap(), half.multiply::<0x00>(polynomial))
    }
}

/// The product of two in the field: a * b / x^128.
///
/// # Safety
/// The processor has PCLMULQDQ and SSE 4.1.
#[inline(always)]
pub(super) unsafe fn dot(a: __m128i, b: __m128i) -> __m128i {
    // SAFETY: the caller has the instructions of 128 bits.
    unsafe {
        let mut sum = Sum::zero();
        sum.add(V128::broadcast(a), V128::broadcast(b));
        sum.total()
    }
}
