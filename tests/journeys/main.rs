//! Journeys over the wire: each file is a story, each test a scene of it.

mod confirmation;
mod protocol;
mod sources;
mod stories;
