//! Where an IP address lies, judged from the address alone.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How close to this machine an address is. Ordered: what is further away is greater, and may not refer to what is
/// less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressClass {
    /// Where clouds serve credentials to their machines. Reached only if the caller lists the host.
    Metadata,
    /// This machine and its link: loopback, link-local, unspecified, multicast and reserved addresses.
    Local,
    /// A network of the user's: RFC 1918, RFC 6598 and RFC 4193 addresses.
    Private,
    /// Everything else.
    Public,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "cloud metadata",
            Self::Local => "local",
            Self::Private => "private",
            Self::Public => "public",
        })
    }
}

impl AddressClass {
    /// The class of an address. One that carries an IPv4 address inside has the class of that.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => match embedded_v4(address) {
                Some(inner) => of_v4(inner).min(of_v6(address)),
                None => of_v6(address),
            },
        }
    }
}

fn of_v4(address: Ipv4Addr) -> AddressClass {
    match address.octets() {
        // AWS, Azure, Google and most others; AWS task credentials; Alibaba; Oracle; Azure's host.
        [169, 254, 169, 254]
        | [169, 254, 170, 2 | 23]
        | [100, 100, 100, 200]
        | [192, 0, 0, 192]
        | [168, 63, 129, 16] => AddressClass::Metadata,
        [0 | 127, ..] | [169, 254, ..] | [224..=255, ..] => AddressClass::Local,
        [10, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [100, 64..=127, ..]
        | [192, 0, 0, _]
        | [198, 18..=19, ..] => AddressClass::Private,
        _ => AddressClass::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    match address.segments() {
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254 | 0x23] => AddressClass::Metadata,
        [0xfd20, 0x0ce, 0, 0, 0, 0, 0, 0x254] => AddressClass::Metadata,
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => AddressClass::Local,
        [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => AddressClass::Local,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => AddressClass::Private,
        // Local-use translation prefix (RFC 8215).
        [0x64, 0xff9b, 1, ..] => AddressClass::Private,
        _ => AddressClass::Public,
    }
}

/// The IPv4 address a packet to `address` may end at: mapped and compatible (RFC 4291), translated (RFC 6052, RFC
/// 2765), 6to4 (RFC 3056), Teredo (RFC 4380).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            v4(high, low)
        }
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        [0x2001, 0, .., high, low] => v4(!high, !low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_has_the_class_of_what_it_reaches() {
        use AddressClass::{Local, Metadata, Private, Public};
        let cases = [
            ("127.0.0.1", Local),
            ("127.255.255.254", Local),
            ("0.0.0.0", Local),
            ("0.1.2.3", Local),
            ("169.254.1.1", Local),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("168.63.129.16", Metadata),
            ("100.100.100.200", Metadata),
            ("192.0.0.192", Metadata),
            ("10.0.0.1", Private),
            ("10.255.255.255", Private),
            ("172.16.0.1", Private),
            ("172.31.9.9", Private),
            ("172.15.0.1", Public),
            ("172.32.0.1", Public),
            ("192.168.0.1", Private),
            ("192.167.0.1", Public),
            ("100.64.0.1", Private),
            ("100.127.0.1", Private),
            ("100.128.0.1", Public),
            ("198.18.0.1", Private),
            ("198.20.0.1", Public),
            ("192.0.0.8", Private),
            ("224.0.0.1", Local),
            ("239.1.1.1", Local),
            ("240.0.0.1", Local),
            ("255.255.255.255", Local),
            ("8.8.8.8", Public),
            ("203.0.113.5", Public),
            ("::1", Local),
            ("::", Local),
            ("fe80::1", Local),
            ("febf::1", Local),
            ("ff02::1", Local),
            ("fc00::1", Private),
            ("fdff::1", Private),
            ("fec0::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("2606:4700::1", Public),
            ("::ffff:127.0.0.1", Local),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:8.8.8.8", Public),
            ("::ffff:169.254.169.254", Metadata),
            ("::127.0.0.1", Local),
            ("::10.1.1.1", Private),
            ("::ffff:0:127.0.0.1", Local),
            ("64:ff9b::7f00:1", Local),
            ("64:ff9b::a00:1", Private),
            ("64:ff9b::808:808", Public),
            ("64:ff9b:1::1", Private),
            ("2002:7f00:1::1", Local),
            ("2002:c0a8:1::", Private),
            ("2002:808:808::1", Public),
            ("2001:0:1:2:3:4:80ff:fffe", Local),
            ("2001:0:1:2:3:4:f7f7:f7f7", Public),
        ];
        for (address, class) in cases {
            assert_eq!(
                AddressClass::of(address.parse().unwrap()),
                class,
                "{address}"
            );
        }
    }
}
