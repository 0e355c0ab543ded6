// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {P} from "./Field.sol";

/// @notice A coefficient is not below p.
error CoefficientWrong(uint256 index, uint256 got);
/// @notice The point is not on the curve.
error OffCurve();

/// @title Public keys.
/// @notice Points of y² = x³ + 2x + 26z⁵ over F_p[z] / (z⁷ − 2z − 5). The twin of `holdfast_crypto::curve`, as far as asking whether a point is one.
library Septic {
    uint256 private constant DEGREE = 7;

    /// @notice Refuses coordinates that are not those of a point of the curve, or not canonical. (The identity has none.)
    function requirePoint(uint32[7] calldata x, uint32[7] calldata y) internal pure {
        uint256[7] memory a = _read(x);
        uint256[7] memory left = _read(y);
        left = _mul(left, left);
        uint256[7] memory right = _mul(_mul(a, a), a);
        right[5] += 26;
        for (uint256 i = 0; i < DEGREE; i++) {
            require(left[i] == (right[i] + 2 * a[i]) % P, OffCurve());
        }
    }

    function _read(uint32[7] calldata cells) private pure returns (uint256[7] memory element) {
        for (uint256 i = 0; i < DEGREE; i++) {
            require(cells[i] < P, CoefficientWrong(i, cells[i]));
            element[i] = cells[i];
        }
    }

    /// @dev z^(7 + m) = 2z^(m + 1) + 5z^m. A coefficient of the product is at most 7p² before the reduction and 56p² after it, below 2^68.
    function _mul(uint256[7] memory a, uint256[7] memory b) private pure returns (uint256[7] memory c) {
        unchecked {
            uint256[13] memory product;
            for (uint256 i = 0; i < DEGREE; i++) {
                for (uint256 j = 0; j < DEGREE; j++) {
                    product[i + j] += a[i] * b[j];
                }
            }
            for (uint256 m = 0; m < DEGREE - 1; m++) {
                product[m] += 5 * product[DEGREE + m];
                product[m + 1] += 2 * product[DEGREE + m];
            }
            for (uint256 i = 0; i < DEGREE; i++) {
                c[i] = product[i] % P;
            }
        }
    }
}
