//! The offline rules that read a sentence and answer with tool calls.

pub mod dates;
mod money;
mod numbers;
pub mod phones;
mod quantities;
mod words;
