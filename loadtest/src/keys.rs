//! The private keys of everybody: a small pool that all accounts share, so that ten thousand accounts need no ten thousand keys.
//!
//! Account `n` takes keys from the `n`th on, so within an account every use has a key of its own, as the server demands. The keys
//! open nothing but what this program has sealed itself.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use sealwire_e2ee::ContentKey;
use sealwire_protocol::base64::Base64;
use sealwire_protocol::frames::RSA_BYTES;
use sealwire_protocol::spki::Spki;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// The file cannot be read or written.
    #[error("the key file {0}: {1}")]
    File(PathBuf, io::Error),
    /// A line of it is no key.
    #[error("the key file {0}, line {1}: no RSA-4096 key as PKCS#8 in Base64; delete the file and a new one is made")]
    Line(PathBuf, usize),
    /// It has too few.
    #[error(
        "the key file {0} has {1} keys, and this scenario needs {2} for an account; delete the file and a new one is made"
    )]
    TooFew(PathBuf, usize, usize),
}

/// An RSA-4096 key; which use it has depends on whose it is.
pub(crate) struct Key {
    pkcs8: Vec<u8>,
    pair: KeyPair,
    unwrapping: OaepPrivateDecryptingKey,
    public: Spki,
}

impl Key {
    fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa4096).expect("the system has randomness");
        let pkcs8 = pair.as_der().expect("a key that was made can be written").as_ref().to_vec();
        Self::parse(pkcs8).expect("a key that was made is as the protocol wants it")
    }

    fn parse(pkcs8: Vec<u8>) -> Option<Self> {
        let pair = KeyPair::from_pkcs8(&pkcs8).ok()?;
        let der = pair.public_key().as_der().ok()?;
        let public = Spki::parse(der.as_ref()).ok()?;
        let unwrapping = OaepPrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(&pkcs8).ok()?).ok()?;
        Some(Self { pkcs8, pair, unwrapping, public })
    }

    /// The public half.
    pub(crate) fn public(&self) -> &Spki {
        &self.public
    }

    /// An RSA-PSS signature as protocol section 2 fixes it.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; RSA_BYTES];
        let signed = self.pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.expect("a 4096-bit key signs anything");
        signature
    }

    /// The content key in a wrap, if it is one for this key.
    pub(crate) fn unwrap_key(&self, label: &[u8; 32], wrap: &[u8]) -> Option<ContentKey> {
        let mut plain = [0; RSA_BYTES];
        let opened = self.unwrapping.decrypt(&OAEP_SHA256_MGF1SHA256, wrap, &mut plain, Some(label)).ok()?;
        ContentKey::from_slice(opened)
    }
}

/// All keys.
pub(crate) struct Pool {
    keys: Vec<Key>,
}

impl Pool {
    /// How many are made.
    pub(crate) const SIZE: usize = 64;

    /// Reads the pool from a file, or makes it and writes it there; without a file it is made for this run alone.
    ///
    /// # Errors
    /// [`KeysError`] when the file cannot be used, or has fewer than `least` keys.
    pub(crate) fn open(file: Option<&Path>, least: usize) -> Result<Self, KeysError> {
        let pool = match file {
            Some(path) if path.exists() => Self::read(path)?,
            _ => Self::make(),
        };
        match file {
            Some(path) if pool.keys.len() < least => {
                return Err(KeysError::TooFew(path.into(), pool.keys.len(), least));
            }
            Some(path) if !path.exists() => pool.write(path).map_err(|error| KeysError::File(path.into(), error))?,
            _ => {}
        }
        Ok(pool)
    }

    /// Any number stands for a key; they repeat after the last.
    pub(crate) fn key(&self, n: usize) -> &Key {
        &self.keys[n % self.keys.len()]
    }

    fn read(path: &Path) -> Result<Self, KeysError> {
        let text = fs::read_to_string(path).map_err(|error| KeysError::File(path.into(), error))?;
        let key = |(at, line): (usize, &str)| {
            let pkcs8 = Base64::from_text(line.trim().into()).ok().map(|text| text.decode());
            pkcs8.and_then(Key::parse).ok_or_else(|| KeysError::Line(path.into(), at + 1))
        };
        Ok(Self { keys: text.lines().enumerate().map(key).collect::<Result<_, _>>()? })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        self.keys.iter().try_for_each(|key| writeln!(file, "{}", Base64::encode(&key.pkcs8).as_str()))
    }

    fn make() -> Self {
        let keys = Mutex::new(Vec::with_capacity(Self::SIZE));
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for n in 0..threads {
                let share = Self::SIZE / threads + usize::from(n < Self::SIZE % threads);
                let keys = &keys;
                scope.spawn(move || {
                    for _ in 0..share {
                        let key = Key::generate();
                        keys.lock().expect("no thread that makes keys panics").push(key);
                    }
                });
            }
        });
        Self { keys: keys.into_inner().expect("no thread that makes keys panics") }
    }
}
