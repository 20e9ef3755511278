//! How devices come to an account and leave it, with the real client and a real server: registration with a recovery code,
//! recovery on an empty machine, linking, removal, and leaving for good.

#[path = "enrol/codes.rs"]
mod codes;
#[path = "enrol/ends.rs"]
mod ends;
#[path = "enrol/leaving.rs"]
mod leaving;
#[path = "enrol/linking.rs"]
mod linking;
#[path = "enrol/people.rs"]
mod people;
#[path = "enrol/recovery.rs"]
mod recovery;
