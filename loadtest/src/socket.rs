//! Sockets that never block, and what wakes a thread that waits for them.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Begins to connect; the socket is writable once that has gone one way or the other.
pub(crate) fn dial(to: SocketAddrV4, from: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    // Frames are small and leave when they are written: waiting for more would be measured as the server's latency.
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(from) = from {
        rustix::net::bind(&socket, &SocketAddrV4::new(from, 0))?;
    }
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// How connecting went, once the socket is writable.
pub(crate) fn connected(socket: &OwnedFd) -> io::Result<()> {
    Ok(sockopt::socket_error(socket)??)
}

/// What a socket gave or took.
pub(crate) enum Moved {
    /// This many bytes.
    Some(usize),
    /// It has nothing, or takes nothing, now.
    NotNow,
    /// The peer has ended the connection, or it broke.
    Over,
}

fn moved(result: Result<usize, Errno>, none_is_the_end: bool) -> Moved {
    match result {
        Ok(0) if none_is_the_end => Moved::Over,
        Ok(bytes) => Moved::Some(bytes),
        Err(Errno::AGAIN | Errno::INTR) => Moved::NotNow,
        Err(_) => Moved::Over,
    }
}

/// Reads what has come.
pub(crate) fn receive(socket: &OwnedFd, into: &mut [u8]) -> Moved {
    moved(rustix::net::recv(socket, into, RecvFlags::empty()).map(|(_, bytes)| bytes), true)
}

/// Writes what the socket takes.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8]) -> Moved {
    moved(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL), false)
}

/// What one thread waits for.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// What has happened to a socket.
pub(crate) struct Happened {
    /// As it was registered.
    pub(crate) token: u64,
    /// It can be read, or has ended.
    pub(crate) readable: bool,
    /// It takes bytes.
    pub(crate) writable: bool,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(1024) })
    }

    /// Watches something for input, and for room to write where that is wanted.
    pub(crate) fn add(&self, what: impl AsFd, token: u64, writable: bool) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, what, EventData::new_u64(token), flags(writable))?)
    }

    /// Watches for room to write too, or no more.
    pub(crate) fn change(&self, what: impl AsFd, token: u64, writable: bool) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, what, EventData::new_u64(token), flags(writable))?)
    }

    /// Watches something that wakes and is never read: each time that it becomes ready anew counts once.
    pub(crate) fn add_bell(&self, what: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, what, EventData::new_u64(token), EventFlags::IN | EventFlags::ET)?)
    }

    /// Waits until something happens, at most this long (rounded up to a millisecond); gives how many things did.
    pub(crate) fn wait(&mut self, at_most: Duration) -> io::Result<usize> {
        let at_most = Timespec::try_from(at_most).ok();
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), at_most.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(error.into()),
        }
    }

    /// The `n`th thing that happened.
    pub(crate) fn happened(&self, n: usize) -> Happened {
        let Event { flags, data, .. } = self.events[n];
        let readable = flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR);
        Happened { token: data.u64(), readable, writable: flags.contains(EventFlags::OUT) }
    }
}

fn flags(writable: bool) -> EventFlags {
    if writable { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN }
}

/// Wakes a thread from another one.
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Wakes whoever watches it.
    pub(crate) fn ring(&self) {
        // Fails only when it was rung 2^64 times.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// What to watch.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

/// Wakes the thread that waits after less than a millisecond, which epoll's own time-out cannot on every kernel.
pub(crate) struct Alarm(OwnedFd);

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Wakes after this time, which replaces what was set before; and then again and again where that is wanted, if each time
    /// it is [`heard`](Self::heard).
    pub(crate) fn set(&self, after: Duration, again: bool) -> io::Result<()> {
        // Zero would turn it off.
        let value = timespec(after.max(Duration::from_nanos(1)));
        let interval = if again { value } else { timespec(Duration::ZERO) };
        let flags = TimerfdTimerFlags::empty();
        timerfd_settime(&self.0, flags, &Itimerspec { it_interval: interval, it_value: value })?;
        Ok(())
    }

    /// It has woken the thread: the kernel starts one that repeats anew only when it is read.
    pub(crate) fn heard(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }

    /// Wakes no more.
    pub(crate) fn off(&self) -> io::Result<()> {
        let never = timespec(Duration::ZERO);
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: never, it_value: never })?;
        Ok(())
    }

    /// What to watch.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() }
}

/// Raises the number of files that this process may open as far as it may; gives how many that are.
pub(crate) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current }.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_that_repeats_wakes_again_and_again() {
        const LONG: Duration = Duration::from_secs(30);
        let (mut poll, alarm) = (Poll::new().expect("epoll"), Alarm::new().expect("a timer"));
        poll.add_bell(alarm.fd(), 7).expect("it can be watched");
        alarm.set(Duration::from_micros(50), true).expect("it can be set");
        for _ in 0..3 {
            assert_eq!(poll.wait(LONG).expect("epoll"), 1);
            assert_eq!(poll.happened(0).token, 7);
            alarm.heard();
        }
        alarm.off().expect("it can be turned off");
        poll.wait(Duration::ZERO).expect("epoll");
        assert_eq!(poll.wait(Duration::from_millis(1)).expect("epoll"), 0);
    }
}
