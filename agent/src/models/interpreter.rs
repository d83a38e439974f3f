//! The offline rules that read a sentence and answer with tool calls.
