// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @dev The cheat codes of halmos that the proofs use: values that can be anything.
interface Svm {
    function createAddress(string calldata name) external returns (address);
    function createBool(string calldata name) external returns (bool);
    function createBytes32(string calldata name) external returns (bytes32);
    function createCalldata(string calldata contractName) external returns (bytes memory);
    function createInt256(string calldata name) external returns (int256);
    function createUint(uint256 bits, string calldata name) external returns (uint256);
    function createUint256(string calldata name) external returns (uint256);
    function enableSymbolicStorage(address target) external;
}

interface Vm {
    function assume(bool condition) external pure;
    function prank(address sender) external;
    function warp(uint256 time) external;
}

Svm constant SVM = Svm(address(uint160(uint256(keccak256("svm cheat code")))));
Vm constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
