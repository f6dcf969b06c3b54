module watchbill/lab/small

go 1.21
