//! Private keys in this process's memory.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::sync::{Arc, PoisonError, RwLock};

use rand_core::CryptoRng;
use sealwire_protocol::Kid;

use super::{ContentKey, KeyUse, RsaFailure, RsaJob, RsaOutcome, RsaProvider};
use crate::keys::{IdentityKey, SigningKey, WrapKey};

/// Runs jobs in place over the `rsa` crate, with keys that it was given or has made.
///
/// `random` gives a generator for each job. `Debug` shows nothing of the keys.
pub struct NativeRsa<F> {
    random: F,
    /// A job holds its key, never the lock.
    keys: RwLock<HashMap<Kid, Key>>,
}

#[derive(Clone)]
enum Key {
    Identity(Arc<IdentityKey>),
    Signing(Arc<SigningKey>),
    Wrap(Arc<WrapKey>),
}

impl<R: CryptoRng, F: Fn() -> R> NativeRsa<F> {
    /// One that holds no key yet.
    pub fn new(random: F) -> Self {
        Self { random, keys: RwLock::default() }
    }

    /// Gives it an identity key.
    pub fn add_identity(&self, key: Arc<IdentityKey>) {
        self.add(*key.kid(), Key::Identity(key));
    }

    /// Gives it a signing key.
    pub fn add_signing(&self, key: Arc<SigningKey>) {
        self.add(*key.kid(), Key::Signing(key));
    }

    /// Gives it a wrap key.
    pub fn add_wrap(&self, key: Arc<WrapKey>) {
        self.add(*key.kid(), Key::Wrap(key));
    }

    /// A wrap key that it holds, for the device's own storage.
    pub fn wrap_key(&self, kid: &Kid) -> Option<Arc<WrapKey>> {
        match self.key(kid) {
            Some(Key::Wrap(key)) => Some(key),
            _ => None,
        }
    }

    /// Lets go of a key: zeroized when the last job with it is done.
    pub fn forget(&self, kid: &Kid) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(kid);
    }

    /// Runs a job here and now: on a thread that may block.
    ///
    /// # Errors
    /// [`RsaFailure`] when it holds no such key, or one for something else.
    pub fn run_now(&self, job: RsaJob) -> Result<RsaOutcome, RsaFailure> {
        match job {
            RsaJob::Sign { key, message } => self.sign(&key, &message).map(RsaOutcome::Signature),
            RsaJob::Unwrap { key, label, wrap } => self.unwrap_key(&key, &label, &wrap).map(RsaOutcome::ContentKey),
            RsaJob::Generate(usage) => Ok(self.generate(usage)),
        }
    }

    fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Vec<u8>, RsaFailure> {
        let key = self.key(kid).ok_or(RsaFailure::NoKey)?;
        if !key.usage().signs(message) {
            return Err(RsaFailure::OtherUse);
        }
        match key {
            Key::Identity(key) => Ok(key.sign(&mut (self.random)(), message)),
            Key::Signing(key) => Ok(key.sign(&mut (self.random)(), message)),
            Key::Wrap(_) => Err(RsaFailure::OtherUse),
        }
    }

    fn unwrap_key(&self, kid: &Kid, label: &[u8; 32], wrap: &[u8]) -> Result<Option<ContentKey>, RsaFailure> {
        match self.key(kid).ok_or(RsaFailure::NoKey)? {
            Key::Wrap(key) => Ok(key.unwrap_key(&mut (self.random)(), label, wrap)),
            Key::Identity(_) | Key::Signing(_) => Err(RsaFailure::OtherUse),
        }
    }

    fn generate(&self, usage: KeyUse) -> RsaOutcome {
        let rng = &mut (self.random)();
        let (public, key) = match usage {
            KeyUse::Identity => {
                let key = IdentityKey::generate(rng);
                (key.public().clone(), Key::Identity(key.into()))
            }
            KeyUse::Signing => {
                let key = SigningKey::generate(rng);
                (key.public().clone(), Key::Signing(key.into()))
            }
            KeyUse::Wrap => {
                let key = WrapKey::generate(rng);
                (key.public().clone(), Key::Wrap(key.into()))
            }
        };
        self.add(public.kid(), key);
        RsaOutcome::Made(public)
    }

    fn add(&self, kid: Kid, key: Key) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(kid, key);
    }

    fn key(&self, kid: &Kid) -> Option<Key> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }
}

impl Key {
    fn usage(&self) -> KeyUse {
        match self {
            Self::Identity(_) => KeyUse::Identity,
            Self::Signing(_) => KeyUse::Signing,
            Self::Wrap(_) => KeyUse::Wrap,
        }
    }
}

impl<R: CryptoRng, F: Fn() -> R> RsaProvider for NativeRsa<F> {
    fn run(&self, job: RsaJob) -> impl Future<Output = Result<RsaOutcome, RsaFailure>> {
        ready(self.run_now(job))
    }
}

impl<F> fmt::Debug for NativeRsa<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NativeRsa")
    }
}
