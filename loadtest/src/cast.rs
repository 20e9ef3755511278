//! Who takes part in a run, and which thread plays whom. A line and both its ends are played by one thread, so nothing that is
//! counted for a message is shared between threads.

use std::ops::Range;

use crate::person::Person;

/// A connection: which person's, and which of the devices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) person: usize,
    pub(crate) device: usize,
}

/// Who writes to whom, by seats of one thread.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    pub(crate) from: u32,
    pub(crate) to: Vec<u32>,
}

/// What one thread plays. Seats are numbered from 0 in each.
#[derive(Debug, Default, Clone)]
pub(crate) struct Part {
    /// Its connections: first those who write, then those who are written to, then those who only sit there.
    pub(crate) seats: Vec<Place>,
    pub(crate) courses: Vec<Course>,
    /// Those who write.
    pub(crate) writers: Range<u32>,
    /// Those who are written to, a range for each device of theirs: a device can be linked once the first one has registered.
    pub(crate) readers: Vec<Range<u32>>,
    /// Those who only sit there.
    pub(crate) others: Range<u32>,
}

/// Everybody.
#[derive(Debug, Default)]
pub(crate) struct Cast {
    pub(crate) people: Vec<Person>,
    pub(crate) parts: Vec<Part>,
}

/// How many of each kind take part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Pairs that write to each other, or writers with one addressee each.
    pub(crate) pairs: usize,
    /// Whether the addressees write back.
    pub(crate) both_ways: bool,
    /// Devices of each addressee.
    pub(crate) devices: usize,
    /// Connections that only sit there.
    pub(crate) others: usize,
}

impl Size {
    /// All connections.
    pub(crate) fn connections(&self) -> usize {
        self.pairs * (1 + self.devices) + self.others
    }
}

impl Cast {
    /// Casts this many for this number of threads. `made_at` is in milliseconds since 1970.
    pub(crate) fn new(size: Size, threads: usize, tag: &str, made_at: u64) -> Self {
        let mut cast = Self::default();
        for thread in 0..threads {
            let share = |all: usize| all / threads + usize::from(thread < all % threads);
            let mut part = Part::default();
            cast.pairs(&mut part, share(size.pairs), size, tag, made_at);
            let first = part.len();
            for _ in 0..share(size.others) {
                let person = cast.add(tag, 1, made_at);
                part.seats.push(Place { person, device: 0 });
            }
            part.others = first..part.len();
            cast.parts.push(part);
        }
        cast
    }

    fn pairs(&mut self, part: &mut Part, pairs: usize, size: Size, tag: &str, made_at: u64) {
        let writers: Vec<_> = (0..pairs).map(|_| self.add(tag, 1, made_at)).collect();
        let readers: Vec<_> = (0..pairs).map(|_| self.add(tag, size.devices, made_at)).collect();
        part.seats.extend(writers.iter().map(|person| Place { person: *person, device: 0 }));
        part.writers = 0..part.len();
        for device in 0..size.devices {
            let first = part.len();
            part.seats.extend(readers.iter().map(|person| Place { person: *person, device }));
            part.readers.push(first..part.len());
        }
        let devices = |pair: u32| part.readers.iter().map(|range| range.start + pair).collect::<Vec<_>>();
        let there = part.writers.clone().map(|pair| Course { from: pair, to: devices(pair) });
        let back = part.writers.clone().map(|pair| Course { from: devices(pair)[0], to: vec![pair] });
        part.courses = if size.both_ways { there.chain(back).collect() } else { there.collect() };
    }

    fn add(&mut self, tag: &str, devices: usize, made_at: u64) -> usize {
        self.people.push(Person::new(tag, self.people.len(), devices, made_at));
        self.people.len() - 1
    }
}

impl Part {
    fn len(&self) -> u32 {
        u32::try_from(self.seats.len()).expect("far fewer connections than that")
    }

    /// All lines.
    pub(crate) fn lines(&self) -> Range<u32> {
        0..u32::try_from(self.courses.len()).expect("far fewer lines than that")
    }

    /// All that must be connected before the further devices of anybody.
    pub(crate) fn first_devices(&self) -> Vec<Range<u32>> {
        let first = self.readers.first().cloned();
        [Some(self.writers.clone()), first, Some(self.others.clone())].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_cast_once_and_both_ends_of_a_line_are_one_thread_s() {
        let size = Size { pairs: 7, both_ways: true, devices: 1, others: 5 };
        let cast = Cast::new(size, 3, "t", 0);
        assert_eq!(cast.people.len(), size.connections());
        let seats: usize = cast.parts.iter().map(|part| part.seats.len()).sum();
        assert_eq!(seats, size.connections());
        for part in &cast.parts {
            assert_eq!(part.courses.len(), 2 * part.writers.len());
            for course in &part.courses {
                assert!(course.to.iter().chain([&course.from]).all(|seat| (*seat as usize) < part.seats.len()));
                assert_ne!(part.seats[course.from as usize].person, part.seats[course.to[0] as usize].person);
            }
        }
    }

    #[test]
    fn a_line_reaches_every_device_of_its_addressee() {
        let cast = Cast::new(Size { pairs: 2, both_ways: false, devices: 3, others: 0 }, 1, "t", 0);
        let part = &cast.parts[0];
        assert_eq!(part.courses.len(), 2);
        for course in &part.courses {
            let places: Vec<_> = course.to.iter().map(|seat| part.seats[*seat as usize]).collect();
            assert_eq!(places.iter().map(|place| place.device).collect::<Vec<_>>(), [0, 1, 2]);
            assert!(places.iter().all(|place| place.person == places[0].person));
            assert_eq!(cast.people[places[0].person].devices().len(), 3);
        }
    }
}
