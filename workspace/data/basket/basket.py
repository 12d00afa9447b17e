"""Prices of a basket, in cents."""

SHIPPING = 490
FREE_SHIPPING_FROM = 5000


def goods(items):
    """What the goods cost: (price, number) for each item."""
    return sum(price * number for price, number in items)


def shipping(items):
    """What shipping costs: nothing for an empty basket, and nothing from a certain price on."""
    cost = goods(items)
    if not items or cost > FREE_SHIPPING_FROM:
        return 0
    return SHIPPING


def total(items):
    """What the customer pays."""
    return goods(items) + shipping(items)
