//! What crosses a wire: tool arguments and results, the questions asked before an effect, the agent's HTTP types.
//!
//! # Layout
//!
//! - [`tool`]: what a tool is; [`tools`]: the one list of them, a file per toolset; [`aliases`]: other names they are called by.
//! - [`confirmation`]: the question a `commit` tool asks; [`failure`]: the answer when nothing was done.
//! - [`money`], [`quantity`], [`mod@unit`]: exact numbers and how they are said.
//! - [`documents`]: a bill as a document; [`resources`]: price list and opening hours.
//! - [`http`]: the agent's requests, responses and run events.
//! - [`shop`]: what a client learns about the business itself.
//! - [`scope`]: how far a caller may reach.
//! - [`token`]: what the agent says about its end user when it calls a tool; [`identity`]: how it asks who somebody is.
//!
//! Nothing here does I/O: schemas and documents are generated without compiling a server.

pub mod aliases;
pub mod confirmation;
pub mod documents;
pub mod failure;
pub mod http;
pub mod identity;
pub mod ids;
pub mod locale;
pub mod money;
pub mod quantity;
pub mod resources;
pub mod scope;
pub mod shop;
pub mod token;
pub mod tool;
pub mod tools;
pub mod unit;
