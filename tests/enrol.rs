//! How devices come to an account and leave it, with the real client and a real server: registration with a recovery code, and
//! recovery on an empty machine.

#[path = "enrol/codes.rs"]
mod codes;
#[path = "enrol/people.rs"]
mod people;
#[path = "enrol/recovery.rs"]
mod recovery;
