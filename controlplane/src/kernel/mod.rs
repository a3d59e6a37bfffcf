//! Linux's side: what the kernel knows ([`facts`]), how we hear of it, and what we set on it.
pub mod facts;
