import socket

import pytest

from backend.labelstudio.addresses import AddressRefused, is_public, public_addresses, resolve_host


@pytest.mark.parametrize("address", [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1",
    "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:c0a8:101::1", "192.0.0.8", "192.88.99.1",
    "64:ff9b:1::1", "3fff::1", "5f00::1", "::ffff:192.0.0.8", "2001:0:a00:1:8000:63bf:f5ff:fffe", "not an address",
])  # fmt: skip
def test_private_addresses_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", [
    "93.184.216.34", "8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808",
])  # fmt: skip
def test_internet_addresses_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "::1"]
)
def test_every_spelling_of_loopback_is_refused(host):
    with pytest.raises(AddressRefused):
        public_addresses(host, 80)


def test_one_private_address_among_public_ones_is_enough():
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.7.*ALLOW_HOSTS"):
        public_addresses("mixed.example", 80, lambda host, port: ["93.184.216.34", "10.0.0.7"])


def test_public_host_is_resolved_once():
    calls = []

    def resolver(host, port):
        calls.append((host, port))
        return ["93.184.216.34", "2606:4700:4700::1111"]

    assert public_addresses("cdn.example", 443, resolver) == ["93.184.216.34", "2606:4700:4700::1111"]
    assert calls == [("cdn.example", 443)]


def test_unknown_host():
    def resolver(host, port):
        raise socket.gaierror("Name or service not known")

    with pytest.raises(AddressRefused, match="unknown"):
        public_addresses("nowhere.invalid", 80, resolver)


def test_host_without_addresses():
    with pytest.raises(AddressRefused, match="no address"):
        public_addresses("empty.example", 80, lambda host, port: [])


def test_resolving_gives_each_address_once():
    addresses = resolve_host("127.0.0.1", 80)
    assert addresses == ["127.0.0.1"]
