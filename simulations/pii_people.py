"""Made-up people: Vietnamese and Western names, and where they live. From a seed."""

from collections.abc import Sequence
from random import Random

FAMILIES = """
    Nguyễn Nguyễn Nguyễn Trần Trần Lê Lê Phạm Huỳnh Hoàng Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Trương
    Đoàn Mai
""".split()
MIDDLES = """
    Văn Thị Hữu Đức Minh Ngọc Thanh Quốc Xuân Thu Hoài Gia Kim Phương Quang Thùy Khánh Bảo
""".split()
GIVEN = """
    An Anh Bình Châu Chi Cường Dũng Duy Đạt Giang Hà Hải Hạnh Hằng Hiếu Hoa Hùng Huy Hương Khánh Khoa Lan Linh
    Long Mai Minh My Nam Nga Ngân Ngọc Nhi Nhung Phong Phúc Phương Quân Quỳnh Sơn Tâm Thảo Thắng Thủy Thư Trang
    Trâm Trung Tuấn Tú Vân Việt Vy Yến
""".split()
WESTERN_GIVEN = """
    John Mary Anna Peter Sarah Thomas Laura Michael Emma David Julia Robert Sophie Kevin Hannah Oliver
""".split()
WESTERN_FAMILY = """
    Smith Müller Johnson Dupont Rossi Jensen Kowalski Brown Garcia Schneider Taylor Novak Larsen Martin
""".split()
STREETS = (
    "Nguyễn Trãi|Lê Lợi|Trần Hưng Đạo|Hai Bà Trưng|Lý Thường Kiệt|Điện Biên Phủ|Cách Mạng Tháng Tám|Nguyễn Huệ|Láng Hạ|"
    "Phạm Văn Đồng|Võ Văn Tần|Xô Viết Nghệ Tĩnh|Lạc Long Quân|Hoàng Hoa Thám|Kim Mã|Trường Chinh"
).split("|")
WARDS = (
    "Bến Nghé|Tân Định|Đa Kao|Dịch Vọng|Láng Thượng|Thảo Điền|Hòa Khánh|An Hải Bắc|Phú Hội|Xuân Khánh|Tân Phong"
).split("|")
DISTRICTS = (
    "Bình Thạnh|Gò Vấp|Tân Bình|Đống Đa|Cầu Giấy|Hai Bà Trưng|Hải Châu|Thanh Khê|Ninh Kiều|Phú Nhuận|Hoàn Kiếm"
).split("|")
CITIES = "TP.HCM|Hà Nội|Đà Nẵng|Cần Thơ|Hải Phòng|TP HCM|Sài Gòn|Huế".split("|")


def vietnamese_name(rng: Random, given: Sequence[str] = ()) -> str:
    """Family, one or two middle names, given name; `given` instead of the usual ones."""
    middle = rng.sample(MIDDLES, rng.choice([1, 1, 1, 2]))
    return " ".join([rng.choice(FAMILIES), *middle, rng.choice(given or GIVEN)])


def western_name(rng: Random) -> str:
    return f"{rng.choice(WESTERN_GIVEN)} {rng.choice(WESTERN_FAMILY)}"


def address(rng: Random) -> str:
    """A Vietnamese postal address, from a full one to number, street and district."""
    number = rng.choice(
        [str(rng.randint(1, 999)), f"{rng.randint(1, 400)}/{rng.randint(1, 60)}", f"{rng.randint(1, 99)}A"]
    )
    street, ward, district, city = rng.choice(STREETS), rng.choice(WARDS), rng.choice(DISTRICTS), rng.choice(CITIES)
    of_hcm = f"quận {rng.randint(1, 12)}"
    return rng.choice(
        [
            f"số {number} đường {street}, phường {ward}, quận {district}, {city}",
            f"{number} {street}, P. {ward}, Q. {district}, {city}",
            f"{number} {street}, phường {rng.randint(1, 15)}, {of_hcm}, TP.HCM",
            f"số {rng.randint(1, 90)} ngõ {rng.randint(1, 300)} {street}, {district}, Hà Nội",
            f"{number} đường {street}, {of_hcm}",
            f"{number} {street}, {ward}, {district}, {city}",
            f"thôn {ward}, xã {rng.choice(WARDS)}, huyện {district}, tỉnh Quảng Nam",
            f"{number} {street} {of_hcm}",
            f"hẻm {rng.randint(1, 300)} {street}, phường {ward}, {city}",
        ]
    )


def mention(rng: Random, name: str) -> str:
    """One of the ways in which people write the name of someone who is known: whole, in part, by initials."""
    parts = name.split()
    first, last = parts[0], parts[-1]
    return rng.choice(
        [
            name,
            name,
            name.lower(),
            name.upper(),
            " ".join([*parts[1:], first]),
            f"{first} {last}",
            f"{last} {first}",
            " ".join(parts[-2:]),
            ".".join(part[0] for part in parts) + ".",
            "".join(part[0] for part in parts) if len(parts) > 2 else name,
            f"{first} {'.'.join(part[0] for part in parts[1:])}." if len(parts) > 2 else f"{first} {last[0]}.",
            f"{'.'.join(part[0] for part in parts[:-1])}. {last}",
            "".join(parts).lower(),
        ]
    )
