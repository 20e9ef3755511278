//! Wrap certificates (protocol section 3).

use rand_core::CryptoRng;
use sealwire_protocol::signed::{WrapCert, WrapCertError};
use sealwire_protocol::spki::Spki;
use sealwire_protocol::{DeviceId, Kid, Username};

use crate::keys::SigningKey;
use crate::provider::RsaJob;
use crate::verify::{BadSignature, verify};

/// A wrap certificate with its device's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedWrapCert {
    /// What is certified.
    pub cert: WrapCert,
    /// The device signing key's signature over it.
    pub signature: Vec<u8>,
}

/// A wrap certificate that its device is yet to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedWrapCert {
    cert: WrapCert,
    dsk_kid: Kid,
    to_sign: Vec<u8>,
}

/// Why a wrap certificate is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It breaks a rule of its own.
    #[error(transparent)]
    Rule(#[from] WrapCertError),
    /// Its device did not sign it.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

impl SigningKey {
    /// Certifies a wrap key of this key's device.
    pub fn certify<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        username: &Username,
        device: &DeviceId,
        cert: WrapCert,
    ) -> SignedWrapCert {
        let unsigned = UnsignedWrapCert::new(*self.kid(), username, device, cert);
        let signature = self.sign(rng, &unsigned.to_sign);
        unsigned.finish(signature)
    }
}

impl UnsignedWrapCert {
    /// Of a wrap key of the device whose signing key is `dsk_kid`.
    pub fn new(dsk_kid: Kid, username: &Username, device: &DeviceId, cert: WrapCert) -> Self {
        Self { to_sign: cert.to_bytes(username, device), cert, dsk_kid }
    }

    /// The job that signs it.
    pub fn job(&self) -> RsaJob {
        RsaJob::Sign { key: self.dsk_kid, message: self.to_sign.clone() }
    }

    /// Takes the job's signature.
    pub fn finish(self, signature: Vec<u8>) -> SignedWrapCert {
        SignedWrapCert { cert: self.cert, signature }
    }
}

impl SignedWrapCert {
    /// Checks all that lets a sender seal for this certificate at `now` (milliseconds since 1970): `dsk` signed it for
    /// this device, its times hold, and its `seq` does not go back behind `last_seq`, the newest one seen so far (0:
    /// none; the same one again is fine).
    ///
    /// # Errors
    /// [`CertificateError`] says what does not hold.
    pub fn check(
        &self,
        username: &Username,
        device: &DeviceId,
        dsk: &Spki,
        last_seq: u64,
        now: u64,
    ) -> Result<(), CertificateError> {
        self.cert.check_seq(last_seq.saturating_sub(1))?;
        self.cert.check_usable(now)?;
        self.verify(username, device, dsk)
    }

    /// Checks nothing but that `dsk` signed it for this device.
    ///
    /// # Errors
    /// [`CertificateError::Signature`].
    pub fn verify(&self, username: &Username, device: &DeviceId, dsk: &Spki) -> Result<(), CertificateError> {
        Ok(verify(dsk, &self.cert.to_bytes(username, device), &self.signature)?)
    }
}
