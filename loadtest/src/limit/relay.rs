//! One thread of the relay.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::SocketFlags;

use super::frames::{self, Frame};
use super::mail::{Id, Item, Mail, Place, Shared};
use crate::socket::{self, Moved, Poll};
use crate::worker::wall;

const BELL: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;
const SECOND: u64 = 1_000_000_000;

/// A connection.
struct Peer {
    socket: Option<OwnedFd>,
    life: u32,
    upgraded: bool,
    name: Vec<u8>,
    device: Vec<u8>,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    blocked: bool,
    listed: bool,
    /// The last message that was delivered here.
    seq: u64,
    /// Who waits for an acknowledgement, in the order of `seq`; the first is that of `seq - waiting.len() + 1`.
    waiting: VecDeque<(Place, Id)>,
    /// Of whom a status is to tell.
    delivered: Vec<Id>,
    /// When it is to tell that at the latest.
    tell_at: u64,
}

/// A thread with its connections.
pub(super) struct Relay {
    number: usize,
    listener: OwnedFd,
    shared: Arc<Shared>,
    poll: Poll,
    peers: Vec<Peer>,
    free: Vec<u32>,
    buffer: Vec<u8>,
    to_write: Vec<u32>,
    /// When a peer's statuses are to go at the latest; the delay is the same for all, so these are in order.
    statuses: VecDeque<(u64, u32)>,
    /// For each thread what is handed to it at the end of the turn.
    out: Vec<Mail>,
    incoming: Mail,
    scratch: Vec<u8>,
    began: Instant,
}

impl Relay {
    pub(super) fn new(number: usize, listener: OwnedFd, shared: Arc<Shared>) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.add_bell(shared.bell(number).fd(), BELL)?;
        poll.add(&listener, LISTENER, false)?;
        Ok(Self {
            number,
            listener,
            poll,
            peers: Vec::new(),
            free: Vec::new(),
            buffer: vec![0; 256 * 1024],
            to_write: Vec::new(),
            statuses: VecDeque::new(),
            out: (0..shared.threads()).map(|_| Mail::default()).collect(),
            shared,
            incoming: Mail::default(),
            scratch: Vec::new(),
            began: Instant::now(),
        })
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            self.take_mail();
            self.tell_what_is_due();
            self.hand_over();
            self.flush();
            let next = self.statuses.front().map_or(SECOND, |(due, _)| due.saturating_sub(self.now()));
            for n in 0..self.poll.wait(Duration::from_nanos(next))? {
                let happened = self.poll.happened(n);
                match happened.token {
                    BELL => {}
                    LISTENER => self.accept()?,
                    peer => self.happened(peer as u32, happened.readable, happened.writable),
                }
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn accept(&mut self) -> io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
            let at = self.free.pop().unwrap_or(self.peers.len() as u32);
            if at as usize == self.peers.len() {
                self.peers.push(Peer::new());
            }
            self.poll.add(&socket, at.into(), false)?;
            self.peers[at as usize].begin(socket);
        }
        Ok(())
    }

    fn happened(&mut self, at: u32, readable: bool, writable: bool) {
        if writable {
            let peer = &mut self.peers[at as usize];
            peer.blocked = false;
            if let Some(socket) = &peer.socket {
                // Fails only for a socket that is not watched.
                let _ = self.poll.change(socket, at.into(), false);
            }
            self.write(at);
        }
        if readable {
            self.readable(at);
        }
    }

    fn readable(&mut self, at: u32) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(socket) = &self.peers[at as usize].socket {
            match socket::receive(socket, &mut buffer) {
                Moved::Some(bytes) => {
                    self.take_input(at, &mut buffer[..bytes]);
                    if bytes < buffer.len() {
                        break;
                    }
                }
                Moved::NotNow => break,
                Moved::Over => self.end(at),
            }
        }
        self.buffer = buffer;
    }

    fn take_input(&mut self, at: u32, bytes: &mut [u8]) {
        let mut input = std::mem::take(&mut self.peers[at as usize].input);
        if input.is_empty() {
            let used = self.take_frames(at, bytes);
            input.extend_from_slice(&bytes[used..]);
        } else {
            input.extend_from_slice(bytes);
            let used = self.take_frames(at, &mut input);
            input.drain(..used);
        }
        let peer = &mut self.peers[at as usize];
        if peer.socket.is_some() && !input.is_empty() {
            peer.input = input;
        }
    }

    fn take_frames(&mut self, at: u32, bytes: &mut [u8]) -> usize {
        let mut used = 0;
        while self.peers[at as usize].socket.is_some() {
            let rest = &mut bytes[used..];
            if !self.peers[at as usize].upgraded {
                let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n") else { break };
                match frames::upgraded(&rest[..end + 4]) {
                    Some(answer) => self.say(at, &answer),
                    None => self.end(at),
                }
                self.peers[at as usize].upgraded = true;
                used += end + 4;
                continue;
            }
            match frames::frame(rest) {
                Frame::Unfinished => break,
                Frame::Nothing(end) => used += end,
                Frame::Over => self.end(at),
                Frame::Text(begin, end) => {
                    self.hear(at, &rest[begin..end]);
                    used += end;
                }
            }
        }
        used
    }

    fn hear(&mut self, at: u32, text: &[u8]) {
        match frames::field(text, br#"{"type":""#) {
            Some(b"message") => self.relay(at, text),
            Some(b"ack") => self.acknowledged(at, frames::number(text, br#""seq":"#).unwrap_or(0)),
            Some(b"heartbeat") => {
                let mut answer = Vec::new();
                let timestamp = frames::number(text, br#""timestamp":"#).unwrap_or(0);
                frames::text(&mut answer, frames::heartbeat(timestamp).as_bytes());
                self.say(at, &answer);
            }
            Some(b"register" | b"auth" | b"link") => self.let_in(at, text),
            _ => self.end(at),
        }
    }

    fn let_in(&mut self, at: u32, text: &[u8]) {
        let names = frames::field(text, br#""username":""#).zip(frames::field(text, br#""deviceId":""#));
        let Some((answer, (name, device))) =
            names.and_then(|(name, device)| Some((frames::session(name, device)?, (name, device))))
        else {
            return self.end(at);
        };
        let place = self.place(at);
        let peer = &mut self.peers[at as usize];
        (peer.name, peer.device) = (name.to_vec(), device.to_vec());
        self.shared.enter(name, place);
        self.say(at, &answer);
    }

    fn place(&self, at: u32) -> Place {
        Place { thread: self.number, peer: at, life: self.peers[at as usize].life }
    }

    /// Passes a message on. One for somebody who is not here is gone.
    fn relay(&mut self, at: u32, text: &[u8]) {
        let Some(message) = frames::message(text) else { return self.end(at) };
        if let Some(ack) = message.ack {
            self.acknowledged(at, ack);
        }
        let Some(to) = self.shared.find(message.to) else { return };
        let (from, peer) = (self.place(at), &self.peers[at as usize]);
        if to.thread == self.number {
            self.scratch.clear();
            let mut scratch = std::mem::take(&mut self.scratch);
            if message.write_delivery(&mut scratch, &peer.name, &peer.device).is_some() {
                self.deliver(to, from, message.id, &scratch);
            }
            self.scratch = scratch;
            return;
        }
        let mail = &mut self.out[to.thread];
        let before = mail.bytes.len();
        if message.write_delivery(&mut mail.bytes, &peer.name, &peer.device).is_some() {
            mail.items.push(Item::Delivery { to, from, id: message.id, length: mail.bytes.len() - before });
        }
    }

    fn deliver(&mut self, to: Place, from: Place, id: Id, rest: &[u8]) {
        let peer = &mut self.peers[to.peer as usize];
        if peer.life != to.life {
            return;
        }
        peer.seq += 1;
        peer.waiting.push_back((from, id));
        frames::delivery(&mut peer.output, peer.seq, rest);
        self.list(to.peer);
    }

    fn acknowledged(&mut self, at: u32, seq: u64) {
        let peer = &mut self.peers[at as usize];
        let first = peer.seq - peer.waiting.len() as u64 + 1;
        for _ in first..=seq.min(peer.seq) {
            let Some((to, id)) = self.peers[at as usize].waiting.pop_front() else { return };
            if to.thread == self.number {
                self.delivered(to, id);
            } else {
                self.out[to.thread].items.push(Item::Delivered { to, id });
            }
        }
    }

    /// Notes a status for a sender. It goes with the next frame for that connection, or when its time has come.
    fn delivered(&mut self, to: Place, id: Id) {
        let due = self.now() + self.shared.status_delay;
        let peer = &mut self.peers[to.peer as usize];
        if peer.life != to.life {
            return;
        }
        peer.delivered.push(id);
        if peer.delivered.len() == 1 && !peer.listed {
            peer.tell_at = due;
            self.statuses.push_back((due, to.peer));
        }
    }

    fn tell_what_is_due(&mut self) {
        let now = self.now() + SECOND / 2_000;
        while let Some((due, at)) = self.statuses.front().copied().filter(|(due, _)| *due <= now) {
            self.statuses.pop_front();
            // Otherwise another frame took them along, and later ones have a time of their own.
            let peer = &self.peers[at as usize];
            if peer.tell_at == due && !peer.delivered.is_empty() {
                self.list(at);
            }
        }
    }

    fn take_mail(&mut self) {
        let mut mail = std::mem::take(&mut self.incoming);
        self.shared.take(self.number, &mut mail);
        let mut at = 0;
        for item in mail.items.drain(..) {
            match item {
                Item::Delivery { to, from, id, length } => {
                    self.deliver(to, from, id, &mail.bytes[at..at + length]);
                    at += length;
                }
                Item::Delivered { to, id } => self.delivered(to, id),
            }
        }
        mail.bytes.clear();
        self.incoming = mail;
    }

    fn hand_over(&mut self) {
        for (thread, mail) in self.out.iter_mut().enumerate() {
            self.shared.hand_over(thread, mail);
        }
    }

    fn say(&mut self, at: u32, bytes: &[u8]) {
        self.peers[at as usize].output.extend_from_slice(bytes);
        self.list(at);
    }

    fn list(&mut self, at: u32) {
        let peer = &mut self.peers[at as usize];
        if !peer.listed {
            peer.listed = true;
            self.to_write.push(at);
        }
    }

    fn flush(&mut self) {
        let mut to_write = std::mem::take(&mut self.to_write);
        let now = wall();
        for at in to_write.drain(..) {
            let peer = &mut self.peers[at as usize];
            peer.listed = false;
            if !peer.delivered.is_empty() {
                frames::delivered(&mut peer.output, &peer.delivered, now);
                peer.delivered.clear();
            }
            self.write(at);
        }
        self.to_write = to_write;
    }

    fn write(&mut self, at: u32) {
        let peer = &mut self.peers[at as usize];
        let Some(socket) = peer.socket.as_ref().filter(|_| !peer.blocked) else { return };
        while peer.written < peer.output.len() {
            match socket::send(socket, &peer.output[peer.written..]) {
                Moved::Some(bytes) => peer.written += bytes,
                Moved::NotNow => {
                    peer.blocked = true;
                    let _ = self.poll.change(socket, at.into(), true);
                    return;
                }
                Moved::Over => return self.end(at),
            }
        }
        (peer.written, peer.output) = (0, std::mem::take(&mut peer.output));
        peer.output.clear();
    }

    fn end(&mut self, at: u32) {
        if self.peers[at as usize].socket.is_some() {
            self.peers[at as usize].end();
            self.free.push(at);
        }
    }
}

impl Peer {
    fn new() -> Self {
        Self {
            socket: None,
            life: 0,
            upgraded: false,
            name: Vec::new(),
            device: Vec::new(),
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            blocked: false,
            listed: false,
            seq: 0,
            waiting: VecDeque::new(),
            delivered: Vec::new(),
            tell_at: 0,
        }
    }

    fn begin(&mut self, socket: OwnedFd) {
        self.socket = Some(socket);
        (self.upgraded, self.seq) = (false, 0);
    }

    fn end(&mut self) {
        *self = Self { life: self.life + 1, listed: self.listed, ..Self::new() };
    }
}
