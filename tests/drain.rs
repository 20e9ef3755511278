//! SIGTERM: the server sends its clients away, stores what they hold, and ends well; nothing that was promised is lost.
