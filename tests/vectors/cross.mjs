// Seals or opens one envelope, or computes a safety number, with envelope.mjs: `node cross.mjs seal|open|safety`. One JSON object on standard input,
// one on standard output; byte strings are hexadecimal.
import { open, payload, seal, safetyNumber } from './envelope.mjs';
import { readFileSync } from 'node:fs';
import { webcrypto } from 'node:crypto';

const bytes = text => Uint8Array.from(Buffer.from(text, 'hex'));
const hex = array => Buffer.from(array).toString('hex');
const pss = { name: 'RSA-PSS', hash: 'SHA-256' }, oaep = { name: 'RSA-OAEP', hash: 'SHA-256' };
const load = (form, der, algorithm, use) => webcrypto.subtle.importKey(form, bytes(der), algorithm, false, [use]);
const header = m => ({ ...m, suite: 1, kind: 1, sigKid: bytes(m.sigKid), rcpts: m.rcpts.map(r => ({ ...r, kid: bytes(r.kid) })) });

const commands = {
  async seal({ m, p, sigPkcs8, wrapSpkis }) {
    const plain = payload({ ...p, prev: bytes(p.prev), selfManifest: bytes(p.selfManifest), peerManifest: bytes(p.peerManifest), body: bytes(p.body) });
    const wrapKeys = await Promise.all(wrapSpkis.map(der => load('spki', der, oaep, 'encrypt')));
    const e = await seal(header(m), plain, await load('pkcs8', sigPkcs8, pss, 'sign'), wrapKeys);
    return { iv: hex(e.iv), em: hex(e.em), wraps: e.wraps.map(hex), sig: hex(e.sig) };
  },
  async open({ m, iv, em, wrap, hashes, sig, me, sigSpki, wrapPkcs8 }) {
    const delivered = { m: header(m), iv: bytes(iv), em: bytes(em), wrap: bytes(wrap), hashes: hashes.map(bytes), sig: bytes(sig) };
    const keys = [await load('spki', sigSpki, pss, 'verify'), await load('pkcs8', wrapPkcs8, oaep, 'decrypt')];
    return { payload: hex(await open(delivered, { ...me, kid: bytes(me.kid) }, ...keys, new Set())) };
  },
  async safety({ a, b }) {
    return { digits: await safetyNumber({ ...a, spki: bytes(a.spki) }, { ...b, spki: bytes(b.spki) }) };
  },
};

const input = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(await commands[process.argv[2]](input)));
