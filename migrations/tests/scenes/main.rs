//! Scenes with real servers and real programs: what an operator's day can do to a database, and what the program makes of it.

#[cfg(test)]
mod closed;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod given;
#[cfg(test)]
mod program;
