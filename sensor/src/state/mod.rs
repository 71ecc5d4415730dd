//! What is known of the machine: processes, users, containers, in bounded tables.
