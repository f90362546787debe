//! Incremental AES-128-CBC decryption and key hygiene, for encrypted HLS segments.
//!
//! It is going to decrypt bytes in the order in which they arrive, in pieces of any size, and to keep keys out of every
//! print and every file. It is **not** a key server client, and no content protection beyond AES-128 is planned. Nothing
//! of it exists yet: it comes with HLS.
