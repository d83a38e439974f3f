//! Bills and takings, a tool per file.
