import unittest

import basket


class BasketTest(unittest.TestCase):
    def test_goods(self):
        self.assertEqual(basket.goods([(250, 2), (1000, 1)]), 1500)

    def test_empty(self):
        self.assertEqual(basket.total([]), 0)

    def test_shipping_below_the_limit(self):
        self.assertEqual(basket.total([(4999, 1)]), 5489)

    def test_free_shipping_from_the_limit_on(self):
        self.assertEqual(basket.total([(2500, 2)]), 5000)
        self.assertEqual(basket.total([(2500, 3)]), 7500)


if __name__ == "__main__":
    unittest.main()
