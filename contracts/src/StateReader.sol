// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Account, Bridge, Market, StateTree, System} from "./StateTree.sol";

/// @title Reader of states.
/// @notice Says what slots of the exchange's state hold, from a state root and an opening; or reverts with a custom error of `StateTree`. Stateless, without owner: one serves all.
/// @dev The functions of `StateTree` as a contract of their own, so that the others need not have its code in theirs.
contract StateReader {
    /// @notice An account: its slot, its owner and all its positions.
    /// @param root The state root, eight cells of 32 bits, the first one most significant.
    /// @param index The account, below 2^20.
    /// @param opening See `StateTree.readAccount`.
    function readAccount(bytes32 root, uint256 index, bytes calldata opening) external pure returns (Account memory) {
        return StateTree.readAccount(root, index, opening);
    }

    /// @notice The venue's slot.
    /// @param opening See `StateTree.readSystem`.
    function readSystem(bytes32 root, bytes calldata opening) external pure returns (System memory) {
        return StateTree.readSystem(root, opening);
    }

    /// @notice The two slots of the bridge.
    /// @param opening See `StateTree.readBridge`.
    function readBridge(bytes32 root, bytes calldata opening) external pure returns (Bridge memory) {
        return StateTree.readBridge(root, opening);
    }

    /// @notice The domain of the deployment, a digest.
    /// @param opening See `StateTree.readDeployment`.
    function readDeployment(bytes32 root, bytes calldata opening) external pure returns (bytes32) {
        return StateTree.readDeployment(root, opening);
    }

    /// @notice Some markets, ascending.
    /// @param set Bit m is set if market m is opened.
    /// @param opening See `StateTree.readMarkets`.
    function readMarkets(bytes32 root, uint256 set, bytes calldata opening) external pure returns (Market[] memory) {
        return StateTree.readMarkets(root, set, opening);
    }
}
