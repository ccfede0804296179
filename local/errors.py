"""What goes wrong on the laptop itself, as one class: the message says where, what and what to do."""


class LaptopError(Exception):
    """Something on this machine is not as it must be."""
