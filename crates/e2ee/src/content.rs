//! The symmetric half of suite 1 (protocol section 4): a content key, what is derived from it, and the ciphertext that
//! commits to it.

use aes_gcm::aead::{Aead, KeyInit, Payload as Aad};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sealwire_protocol::signed::{IV_LEN, sha256};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

const ENC: &[u8] = b"sealwire/v1 enc";
const COMMIT: &[u8] = b"sealwire/v1 commit";
/// Length of Kcom, in bytes.
pub(crate) const COMMITMENT_LEN: usize = 32;
/// Length of AES-GCM's tag, in bytes.
pub(crate) const TAG_LEN: usize = 16;

type Secret = Zeroizing<[u8; 32]>;

/// Kenc and Kcom of a content key under a header.
fn derive(content_key: &[u8; 32], hdr: &[u8]) -> (Secret, Secret) {
    let kdf = Hkdf::<Sha256>::new(Some(&sha256(hdr)), content_key);
    (expand(&kdf, ENC), expand(&kdf, COMMIT))
}

fn expand(kdf: &Hkdf<Sha256>, info: &[u8]) -> Secret {
    let mut key = Zeroizing::new([0; 32]);
    kdf.expand(info, &mut key[..]).expect("32 bytes are one block of the KDF");
    key
}

/// encryptedMessage: Kcom || AES-256-GCM(Kenc, iv, AAD = HDR, plaintext).
pub(crate) fn encrypt(content_key: &[u8; 32], hdr: &[u8], iv: &[u8; IV_LEN], plaintext: &[u8]) -> Vec<u8> {
    let (enc, commit) = derive(content_key, hdr);
    let mut out = Vec::with_capacity(COMMITMENT_LEN + plaintext.len() + TAG_LEN);
    out.extend_from_slice(&commit[..]);
    out.extend_from_slice(&aes_256_gcm_seal(&enc, iv, hdr, plaintext));
    out
}

/// Steps 8 and 9: the commitment, in constant time, then AES-GCM.
pub(crate) fn decrypt(
    content_key: &[u8; 32],
    hdr: &[u8],
    iv: &[u8; IV_LEN],
    encrypted_message: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (commitment, ciphertext) = encrypted_message.split_at_checked(COMMITMENT_LEN)?;
    let (enc, commit) = derive(content_key, hdr);
    if !bool::from(commit.ct_eq(commitment)) {
        return None;
    }
    aes_256_gcm_open(&enc, iv, hdr, ciphertext)
}

/// iv || AES-256-GCM(key, iv, AAD, plaintext), with a random iv: how what is no message is sealed (section 5).
pub(crate) fn seal_with_iv<R: CryptoRng + ?Sized>(
    rng: &mut R,
    key: &[u8; 32],
    aad: &[u8],
    plaintext: &[u8],
) -> Vec<u8> {
    let mut iv = [0; IV_LEN];
    rng.fill_bytes(&mut iv);
    let mut out = iv.to_vec();
    out.extend_from_slice(&aes_256_gcm_seal(key, &iv, aad, plaintext));
    out
}

/// What [`seal_with_iv`] sealed.
pub(crate) fn open_with_iv(key: &[u8; 32], aad: &[u8], data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (iv, ciphertext) = data.split_first_chunk()?;
    aes_256_gcm_open(key, iv, aad, ciphertext)
}

fn aes_256_gcm_seal(key: &[u8; 32], iv: &[u8; IV_LEN], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let cipher = Aes256Gcm::new(key.into());
    let nonce: &Nonce<_> = iv.into();
    cipher.encrypt(nonce, Aad { msg: plaintext, aad }).expect("a message is far below AES-GCM's limit")
}

fn aes_256_gcm_open(key: &[u8; 32], iv: &[u8; IV_LEN], aad: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = Aes256Gcm::new(key.into());
    let nonce: &Nonce<_> = iv.into();
    cipher.decrypt(nonce, Aad { msg: ciphertext, aad }).ok().map(Zeroizing::new)
}
