//! Whom this device believes: the identity key, the manifests and the wrap certificates of each name (protocol section
//! 3). What a server says is checked against what was believed before, and nothing ever goes back.

use std::collections::BTreeMap;

use sealwire_e2ee::Target;
use sealwire_e2ee::certificate::{CertificateError, SignedWrapCert};
use sealwire_e2ee::manifest::{Chain, ChainError, SignedManifest, Step};
use sealwire_protocol::frames::{DeviceWrap, Keys};
use sealwire_protocol::ids::{DeviceId, Username};
use sealwire_protocol::signed::WrapCertError;
use sealwire_protocol::spki::{KeyError, Spki};

use crate::convert::{cert_from_frame, manifest_from_frame};
use crate::handover::Pin;

/// What is believed of one name.
#[derive(Debug, Clone)]
pub struct Person {
    chain: Chain,
    certificates: BTreeMap<DeviceId, Certificate>,
    /// Hash of a manifest that another device of one's own has seen: whatever the server shows must hold it.
    seen_elsewhere: Option<[u8; 32]>,
}

/// A device's newest certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate with its signature.
    pub signed: SignedWrapCert,
    /// Whether the server named the device when it was last asked, so that it is to be sealed for.
    pub current: bool,
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Learned {
    /// Manifests that were not known before.
    pub manifests: usize,
    /// There are more to ask for.
    pub more: bool,
    /// The newest version that the server has shown.
    pub shown: Option<u64>,
    /// The server has shown all that it has, and that ends before the newest version that is known: what else it shows has not
    /// been looked at. Only of one's own account.
    pub behind: bool,
}

/// Why an answer of the server is not believed. All of them are shown, and block sending to that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Another identity key than the pinned one. An account never changes it.
    #[error("the identity key is not the one known for this name")]
    IdentityChanged,
    /// A key that is none.
    #[error("a key is not of the protocol's form: {0}")]
    Key(#[from] KeyError),
    /// A manifest that does not continue the chain.
    #[error("the list of devices does not continue the known one: {0}")]
    Chain(#[from] ChainError),
    /// No manifest at all.
    #[error("the server shows no list of devices")]
    NoManifest,
    /// A certificate for a device that the newest manifest does not list, or twice for one.
    #[error("a wrap key is certified for a device that is not listed")]
    Stranger,
    /// A certificate that does not hold, or goes back.
    #[error("a wrap certificate does not hold: {0}")]
    Certificate(#[from] CertificateError),
    /// A chain without a manifest that is known: one that another device of one's own has seen, or, of one's own account, one
    /// that the server was told.
    #[error("the list of devices is older than the known one, or another one")]
    GoneBack,
    /// Two certificates with one sequence number.
    #[error("two wrap certificates have the same number")]
    CertificateFork,
}

impl Person {
    /// Begins with the server's first answer for a name.
    ///
    /// # Errors
    /// [`PinError`] when it does not hold together.
    pub fn first(keys: &Keys, now: u64) -> Result<(Self, Learned), PinError> {
        Self::first_after(keys, now, None)
    }

    /// Like [`Self::first`], for a name of which another device of one's own has handed over what it believed: another
    /// identity key, or a chain that does not hold the manifest, is refused.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn first_after(keys: &Keys, now: u64, pin: Option<&Pin>) -> Result<(Self, Learned), PinError> {
        if pin.is_some_and(|pin| pin.aik != keys.aik) {
            return Err(PinError::IdentityChanged);
        }
        let aik = Spki::parse(&keys.aik.0)?;
        let first = keys.manifests.first().ok_or(PinError::NoManifest)?;
        let chain = Chain::start(keys.username.clone(), aik, manifest_from_frame(first)?)?;
        let mut person = Self::restore(chain, BTreeMap::new()).holding(pin);
        let mut learned = person.learn(keys, now)?;
        learned.manifests += 1;
        Ok((person, learned))
    }

    /// With what was stored: a chain, and the certificates that belong to it.
    pub fn restore(chain: Chain, certificates: BTreeMap<DeviceId, Certificate>) -> Self {
        Self { chain, certificates, seen_elsewhere: None }
    }

    /// The same, of whom another device of one's own has handed over what it believed.
    #[must_use]
    pub fn holding(self, pin: Option<&Pin>) -> Self {
        Self { seen_elsewhere: pin.map(|pin| pin.hash.0), ..self }
    }

    /// Takes over a later answer of the server; `now` is the corrected clock.
    ///
    /// # Errors
    /// [`PinError`] when it contradicts what is believed; that stays as it was.
    pub fn learn(&mut self, keys: &Keys, now: u64) -> Result<Learned, PinError> {
        self.take(keys, now, false)
    }

    /// Takes over an answer for one's own account, asked for from one version before the newest on. A server that does not
    /// show the newest has forgotten it: then its certificates are those of an earlier time, and are not judged.
    ///
    /// # Errors
    /// As for [`Self::learn`].
    pub fn learn_own(&mut self, keys: &Keys, now: u64) -> Result<Learned, PinError> {
        self.take(keys, now, true)
    }

    fn take(&mut self, keys: &Keys, now: u64, own: bool) -> Result<Learned, PinError> {
        if keys.aik.0 != self.chain.aik().as_bytes() {
            return Err(PinError::IdentityChanged);
        }
        let mut next = self.clone();
        let mut manifests = 0;
        for frame in &keys.manifests {
            manifests += usize::from(next.chain.extend(manifest_from_frame(frame)?)? == Step::Added);
        }
        let shown = keys.manifests.iter().map(|frame| frame.version).max();
        let behind = own && !keys.more && shown < Some(next.chain.newest().version);
        if !keys.more && !behind {
            if next.seen_elsewhere.is_some_and(|hash| !next.chain.knows(&hash)) {
                return Err(PinError::GoneBack);
            }
            next.take_certificates(&keys.devices, now)?;
        }
        *self = next;
        Ok(Learned { manifests, more: keys.more, shown, behind })
    }

    /// Continues the chain by a manifest of one's own that the server has taken.
    ///
    /// # Errors
    /// [`ChainError`] when it does not follow; the chain stays as it was.
    pub fn extend(&mut self, next: SignedManifest) -> Result<Step, ChainError> {
        self.chain.extend(next)
    }

    fn take_certificates(&mut self, devices: &[DeviceWrap], now: u64) -> Result<(), PinError> {
        self.certificates.values_mut().for_each(|certificate| certificate.current = false);
        devices.iter().try_for_each(|device| self.take_certificate(device, now))
    }

    fn take_certificate(&mut self, device: &DeviceWrap, now: u64) -> Result<(), PinError> {
        let signed = cert_from_frame(&device.wrap)?;
        let listed = self.chain.newest().device(&device.id).ok_or(PinError::Stranger)?;
        let known = self.certificates.get(&device.id);
        if known.is_some_and(|known| known.current) {
            return Err(PinError::Stranger);
        }
        if known.is_some_and(|k| k.signed.cert.seq == signed.cert.seq && k.signed.cert != signed.cert) {
            return Err(PinError::CertificateFork);
        }
        let last_seq = known.map_or(0, |known| known.signed.cert.seq);
        let current = match signed.check(self.chain.username(), &device.id, &listed.dsk, last_seq, now) {
            Ok(()) => true,
            // Nobody's fault: the device has been away for too long.
            Err(CertificateError::Rule(WrapCertError::TooOld)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.certificates.insert(device.id, Certificate { signed, current });
        Ok(())
    }

    /// Identity key and manifests.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The newest certificate of each device, also of those that cannot receive now.
    pub fn certificates(&self) -> impl Iterator<Item = (&DeviceId, &Certificate)> {
        self.certificates.iter()
    }

    /// The devices to seal for at `now`, with how long their certificate has been over, in milliseconds (0: it is not).
    pub fn targets(&self, now: u64) -> impl Iterator<Item = (Target, u64)> {
        let usable = move |c: &&SignedWrapCert| c.cert.check_usable(now).is_ok();
        let listed = |id: &DeviceId| self.chain.newest().device(id).is_some();
        self.certificates.iter().filter_map(move |(id, certificate)| {
            let signed = Some(&certificate.signed).filter(|_| certificate.current && listed(id)).filter(usable)?;
            let username: Username = self.chain.username().clone();
            let target = Target { username, device: *id, dwk: signed.cert.dwk.clone() };
            Some((target, signed.cert.stale_by(now)))
        })
    }
}

#[cfg(test)]
#[path = "pins_tests.rs"]
mod tests;
