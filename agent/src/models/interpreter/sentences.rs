//! What is understood: tables of sentences and scenes of several messages.
