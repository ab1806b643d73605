//! What can be seen only from inside: statements prepare, and by which indexes they run.
