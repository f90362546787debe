//! A client that is nothing but a socket: what it returns is what came over the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kithara_tests::server::FaultServer;

pub struct Client {
    pub stream: TcpStream,
}

/// A head and what came of the body before the end, or the end of the connection.
pub struct Reply {
    pub head: String,
    pub body: Vec<u8>,
    pub reset: bool,
}

impl Reply {
    pub fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|line| line.0.eq_ignore_ascii_case(name))
            .map(|line| line.1)
    }
}

impl Client {
    pub fn connect(server: &FaultServer) -> Self {
        let stream = TcpStream::connect(server.addr()).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a time-out above zero is valid");
        Self { stream }
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &[&str]) {
        let headers: String = headers
            .iter()
            .map(|header| format!("{header}\r\n"))
            .collect();
        self.stream
            .write_all(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes())
            .expect("the server reads requests");
    }

    pub fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n")
            && self
                .stream
                .read(&mut byte)
                .expect("the server answers or closes")
                > 0
        {
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("heads are ASCII")
    }

    pub fn read_exact(&mut self, len: usize) -> Vec<u8> {
        let mut body = vec![0; len];
        self.stream
            .read_exact(&mut body)
            .expect("the server sends the whole body");
        body
    }

    /// Whether the connection ends here; `true` in the second place if by RST.
    pub fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => (rest, false),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => (rest, true),
            Err(error) => panic!("{error}"),
        }
    }

    /// A request whose answer is framed by its length.
    pub fn get(&mut self, path: &str, headers: &[&str]) -> Reply {
        self.send("GET", path, headers);
        let head = self.read_head();
        let mut reply = Reply {
            head,
            body: Vec::new(),
            reset: false,
        };
        let len = reply
            .header("content-length")
            .map_or(0, |len| len.parse().expect("a length is digits"));
        reply.body = self.read_exact(len);
        reply
    }

    /// A request on a connection of its own, read until the connection ends.
    pub fn get_to_end(server: &FaultServer, path: &str, headers: &[&str]) -> Reply {
        let mut client = Self::connect(server);
        client.send("GET", path, headers);
        let head = client.read_head();
        let (body, reset) = client.rest();
        Reply { head, body, reset }
    }
}

/// The payload, and whether the terminator came.
pub fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end])
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok());
        match size {
            Some(0) => return (out, true),
            Some(size) => out.extend_from_slice(&bytes[end + 2..end + 2 + size]),
            None => break,
        }
        bytes = &bytes[end + 2 + size.unwrap_or(0) + 2..];
    }
    (out, false)
}
