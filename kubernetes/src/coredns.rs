//! CoreDNS: the snippet of plain names it imports, and its connection to Strait's DNS.

pub mod names;
