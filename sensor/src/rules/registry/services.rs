//! Names of services for ports in conditions (`fd.sport = ssh`): those of the services database of the host, then those
//! of a table of our own, so that rules load the same where there is no database.

use std::collections::HashMap;
use std::io::Read;
use std::sync::LazyLock;

/// The host's database.
const DATABASE: &str = "/etc/services";
/// It is not read further than this.
const LONGEST: u64 = 4 << 20;

/// Services that rules name, after the IANA registry.
const KNOWN: &str = "
echo=7 discard=9 ftp-data=20 ftp=21 ssh=22 telnet=23 smtp=25 time=37 whois=43 tacacs=49 domain=53 bootps=67
bootpc=68 tftp=69 gopher=70 finger=79 http=80 www=80 kerberos=88 pop3=110 sunrpc=111 auth=113 nntp=119 ntp=123
epmap=135 netbios-ns=137 netbios-dgm=138 netbios-ssn=139 imap=143 imap2=143 snmp=161 snmp-trap=162 xdmcp=177
bgp=179 irc=194 ldap=389 https=443 microsoft-ds=445 kpasswd=464 submissions=465 isakmp=500 exec=512 login=513
shell=514 syslog=514 printer=515 submission=587 ipp=631 ldaps=636 rsync=873 ftps=990 telnets=992 imaps=993
pop3s=995 socks=1080 openvpn=1194 ms-sql-s=1433 ms-sql-m=1434 radius=1812 nfs=2049 mysql=3306 ms-wbt-
server=3389 svn=3690 epmd=4369 sip=5060 sips=5061 xmpp-client=5222 postgresql=5432 amqps=5671 amqp=5672
x11=6000 redis=6379 ircd=6667 http-alt=8080
";

static SERVICES: LazyLock<HashMap<String, u16>> = LazyLock::new(|| {
    let mut text = Vec::new();
    // Without a database there are the names of the table.
    let read = std::fs::File::open(DATABASE).and_then(|file| file.take(LONGEST).read_to_end(&mut text));
    if read.is_err() {
        text.clear();
    }
    services(&String::from_utf8_lossy(&text))
});

/// The names of a database's text, and ours where it has none. The first line that has a name counts.
fn services(text: &str) -> HashMap<String, u16> {
    let mut found = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
        let Some(port) = port.split_once('/').and_then(|(port, _)| port.parse::<u16>().ok()) else {
            continue;
        };
        for name in std::iter::once(name).chain(words) {
            found.entry(name.to_owned()).or_insert(port);
        }
    }
    for (name, port) in KNOWN.split_whitespace().filter_map(|entry| entry.split_once('=')) {
        if let Ok(port) = port.parse() {
            found.entry(name.to_owned()).or_insert(port);
        }
    }
    found
}

/// The number of a port: itself in digits, or that of a service.
pub fn port(text: &str) -> Option<u16> {
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    SERVICES.get(text).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_by_number_and_name() {
        assert_eq!((port("22"), port("ssh"), port("65535")), (Some(22), Some(22), Some(65_535)));
        assert_eq!(
            (port("65536"), port("nope"), port("+1"), port("-1"), port("")),
            (None, None, None, None, None)
        );
    }

    #[test]
    fn the_database_goes_before_the_table() {
        let found = services(
            "# c\nssh 2222/tcp # moved\nssh 22/udp\nmine\t77/tcp  alias other\nbad x/tcp\nworse\n\n",
        );
        let get = |name: &str| found.get(name).copied();
        assert_eq!((get("ssh"), get("mine"), get("other")), (Some(2222), Some(77), Some(77)));
        assert_eq!((get("https"), get("bad"), get("worse")), (Some(443), None, None));
    }
}
