"""Two network namespaces with nothing between them but a process of ours: the machine's own, and one without a name.

Each has a TUN device, from which the packets that are sent into it are read, and to which those that arrive are written
(https://docs.kernel.org/networking/tuntap.html). The devices and the namespace are gone with the last of their file
descriptors and processes: whatever ends us leaves nothing behind. It takes root.
"""

import ctypes
import fcntl
import os
import select
import shutil
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from errno import EADDRINUSE, ECONNREFUSED
from functools import cache, partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec

# if_tun.h, sockios.h, if.h and sched.h of Linux.
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFTXQLEN = 0x8913, 0x8914, 0x8916, 0x891C, 0x8943
_IFF_UP = 0x1
_CLONE_NEWNET = 0x40000000
_IFREQ_BYTES = 40

DEVICES = "/dev/net/tun"
_DEVICE = "recount"
# Packets that wait for us in a device: what a burst needs while we are busy, so that only the weather loses any.
QUEUE_PACKETS_MAX = 10_000
PACKET_BYTES_MAX = 65_536
# The range for tests of networks (RFC 2544), and private ones for machines that use it for something else.
_RANGES = tuple(map(IPv4Network, ("198.18.0.0/15", "10.213.0.0/16", "172.29.0.0/16")))
_PREFIX_LENGTH = 30
PROGRAMS = ("nsenter", "setpriv")
PROBE_TIMEOUT_S = 1.0
_PROBED_PORT = 1


class Tunnel(msgspec.Struct, frozen=True, kw_only=True):
    """Both ends. What is read from `near` has to be written to `far`, and the other way round.

    Args:
        near: the device here, a file descriptor that does not block.
        far: the one in the namespace.
        namespace: the namespace itself, a file descriptor.
        host: the address of whoever lives there.
    """

    near: int
    far: int
    namespace: int
    host: str

    @property
    def entering(self) -> tuple[str, ...]:
        """Put before a command, it has that run in the namespace, under the same process number."""
        return ("nsenter", f"--net=/proc/{os.getpid()}/fd/{self.namespace}")

    def close(self) -> None:
        """What runs there loses its connections."""
        for each in (self.near, self.far, self.namespace):
            os.close(each)


def open_tunnel() -> Tunnel:
    """Raises `OSError` where it cannot be had."""
    with ExitStack() as opened:
        near, name = _device()
        opened.callback(os.close, near)
        # The kernel counts the devices of this name: two who do this at the same time get different networks.
        network = free_network(int(name.removeprefix(_DEVICE)))
        _set_up(name, network[1], network.netmask)
        # A thread may live in another namespace than its process; what ends with this block never leaves it again.
        with ThreadPoolExecutor(max_workers=1) as elsewhere:
            namespace, far = elsewhere.submit(partial(_in_new_namespace, network[2], network.netmask)).result()
        opened.pop_all()
    return Tunnel(near=near, far=far, namespace=namespace, host=str(network[2]))


def _in_new_namespace(address: IPv4Address, netmask: IPv4Address) -> tuple[int, int]:
    """Put the calling thread into a new namespace for good; the namespace, and a device in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no network namespace can be made: {os.strerror(number)}")
    with ExitStack() as opened:
        namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        opened.callback(os.close, namespace)
        far, name = _device()
        opened.callback(os.close, far)
        _set_up(name, address, netmask)
        opened.pop_all()
    return namespace, far


def _device() -> tuple[int, str]:
    """A new TUN device in the namespace of the calling thread, and its name."""
    device = os.open(DEVICES, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        made = fcntl.ioctl(device, _TUNSETIFF, _ifreq(f"{_DEVICE}%d", struct.pack("=H", _IFF_TUN | _IFF_NO_PI)))
    except OSError:
        os.close(device)
        raise
    return device, made[:16].rstrip(b"\0").decode()


def _set_up(device: str, address: IPv4Address, netmask: IPv4Address) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFTXQLEN, _ifreq(device, struct.pack("=i", QUEUE_PACKETS_MAX)))
        fcntl.ioctl(control, _SIOCSIFADDR, _ifreq(device, _sockaddr(address)))
        fcntl.ioctl(control, _SIOCSIFNETMASK, _ifreq(device, _sockaddr(netmask)))
        (flags,) = struct.unpack_from("=H", fcntl.ioctl(control, _SIOCGIFFLAGS, _ifreq(device)), 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, _ifreq(device, struct.pack("=H", flags | _IFF_UP)))


def _ifreq(device: str, value: bytes = b"") -> bytes:
    return (device.encode().ljust(16, b"\0") + value).ljust(_IFREQ_BYTES, b"\0")


def _sockaddr(address: IPv4Address) -> bytes:
    return struct.pack("=HH", socket.AF_INET, 0) + address.packed


def free_network(number: int) -> IPv4Network:
    """The network of that number in the first range that leads nowhere yet. Raises `OSError` if all do."""
    taken = [network for network in routes() if network.prefixlen]
    for each in _RANGES:
        first = int(each.network_address) + number * 2 ** (32 - _PREFIX_LENGTH)
        network = IPv4Network((first, _PREFIX_LENGTH))
        if network.subnet_of(each) and not any(network.overlaps(other) for other in taken):
            return network
    raise OSError(EADDRINUSE, f"none of {', '.join(map(str, _RANGES))} is free")


def routes() -> Iterator[IPv4Network]:
    """Where this machine's routes lead (/proc/net/route: addresses in hexadecimal, in the machine's byte order)."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        destination, mask = (IPv4Address(struct.pack("=L", int(fields[column], 16))) for column in (1, 7))
        yield IPv4Network(f"{destination}/{mask}")


def missing() -> str:
    """Why packets cannot be had here, empty if they can: one is sent there, and the answer comes back."""
    return probed()


@cache
def probed() -> str:
    absent = [each for each in PROGRAMS if shutil.which(each) is None]
    if absent:
        return f"{' and '.join(absent)} (util-linux) not here"
    try:
        tunnel = open_tunnel()
    except OSError as error:
        return f"no TUN device in a network namespace: {error.strerror or error}"
    try:
        return "" if _answers(tunnel) else f"packets into a network namespace ({tunnel.host}) are not let through"
    finally:
        tunnel.close()


def _answers(tunnel: Tunnel) -> bool:
    """Whether a connection to a port at which nobody listens is refused: that is a packet there, and one back."""
    deadline_s = time.monotonic() + PROBE_TIMEOUT_S
    with socket.socket() as probe:
        probe.setblocking(False)
        probe.connect_ex((tunnel.host, _PROBED_PORT))
        while (left_s := deadline_s - time.monotonic()) > 0:
            readable, writable, _ = select.select([tunnel.near, tunnel.far], [probe], [], left_s)
            for device in readable:
                os.write(tunnel.far if device == tunnel.near else tunnel.near, os.read(device, PACKET_BYTES_MAX))
            if writable:
                return probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == ECONNREFUSED
    return False
